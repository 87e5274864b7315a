"""Compare what a CPU build of the engine needs with a host's processor. No input or output."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.engine.quantization import stored_method
from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights
from fortyninety.problem import Problem
from fortyninety.releases.release import Release, lacking
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading


def processor_problems(
    host: str,
    settings: Settings,
    release: Release,
    reading: HostReading,
    weights: Weights | FitError,
) -> Iterator[Problem]:
    """Yield a problem for each thing asked for that the host's processor has no kernel for.

    A reading without the processor's flags says nothing, and neither does a release for GPUs.
    """
    needs = release.processor
    if needs is None or not reading.processor.flags:
        return
    if missing := lacking(reading.processor.flags, needs.always):
        yield Problem(
            host=host,
            subject="processor",
            found=_described(reading, missing),
            expected=f"one that has it, for engine {release.release}",
            remedy="Use another machine: this build has no kernels for it",
        )
        return
    method = stored_method(settings, weights)
    if method and (missing := lacking(reading.processor.flags, needs.quantization.get(method, ()))):
        yield Problem(
            host=host,
            subject="quantization",
            found=f"{settings.quantization!r} on {_described(reading, missing)}",
            expected=(
                f"a checkpoint of 16-bit weights there: engine {release.release} multiplies "
                f"{method} weights with AVX-512"
            ),
            remedy=(
                "Set model_repository to one and quantization = None, or use a processor with "
                "AVX-512"
            ),
        )
    if settings.kv_cache_dtype.startswith("fp8") and (
        missing := lacking(reading.processor.flags, needs.fp8_kv_cache)
    ):
        yield Problem(
            host=host,
            subject="kv_cache_dtype",
            found=f"{settings.kv_cache_dtype!r} on {_described(reading, missing)}",
            expected=f"'auto' there: engine {release.release} keeps an fp8 KV cache with AVX-512",
            remedy="Set kv_cache_dtype = 'auto', or use a processor with AVX-512",
        )


def _described(reading: HostReading, missing: list[str]) -> str:
    return f"{reading.processor.name or 'a processor'} (without {', '.join(missing)})"
