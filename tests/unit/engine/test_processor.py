"""What a CPU build asks of the processor is looked for before the first change."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.engine.processor import processor_problems
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights, computed_weights
from fortyninety.releases.release import known_releases, load_release
from fortyninety.survey.reading import HostReading
from lab.tiny_model import AWQ, PLAIN, TinyModel
from lab.tiny_model.configuration import model_config
from tests.unit.readings import bare_host, settings

ENGINE = "0.32.0-cpu"
AVX2 = frozenset({"fpu", "sse2", "avx", "avx2", "f16c", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


def host_with(flags: frozenset[str]) -> HostReading:
    return bare_host(processor__name="AMD Ryzen 9 5950X 16-Core Processor", processor__flags=flags)


def checkpoint(model: TinyModel) -> Weights:
    return computed_weights(read_architecture(model_config(model.quantization_config)))


def found(
    flags: frozenset[str], weights: Weights | FitError, engine: str = ENGINE, **changes: Any
) -> list[str]:
    chosen, release = settings(engine=engine, **changes), load_release(engine)
    return [str(p) for p in processor_problems("box1", chosen, release, host_with(flags), weights)]


def test_what_awq_and_fp8_take_is_refused_with_processor_and_remedy() -> None:
    without = (
        "on AMD Ryzen 9 5950X 16-Core Processor (without avx512bw, avx512dq, avx512f, avx512vl)"
    )
    assert found(AVX2, checkpoint(AWQ)) == [
        f"box1: quantization is 'awq_marlin' {without}; expected a checkpoint of 16-bit weights "
        "there: engine 0.32.0-cpu multiplies awq weights with AVX-512. Set model_repository to one "
        "and quantization = None, or use a processor with AVX-512",
        f"box1: kv_cache_dtype is 'fp8' {without}; expected 'auto' there: engine 0.32.0-cpu keeps "
        "an fp8 KV cache with AVX-512. Set kv_cache_dtype = 'auto', or use a processor with "
        "AVX-512",
    ]


@pytest.mark.parametrize("missing", sorted(AVX512 - AVX2))
def test_each_part_of_avx_512_counts(missing: str) -> None:
    assert len(found(AVX512 - {missing}, checkpoint(AWQ))) == 2


def test_a_processor_that_has_it_is_taken_and_so_is_the_plain_model_without() -> None:
    assert found(AVX512, checkpoint(AWQ)) == []
    assert found(AVX2, checkpoint(PLAIN), **PLAIN.settings) == []


def test_a_setting_that_is_not_the_checkpoints_asks_for_no_kernels() -> None:
    """It is refused as such, whatever the processor: two reasons for one mistake mislead."""
    assert found(AVX2, checkpoint(PLAIN), quantization="awq_marlin", kv_cache_dtype="auto") == []
    unknown = FitError("the hub does not answer")
    assert len(found(AVX2, unknown, quantization="awq_marlin", kv_cache_dtype="auto")) == 1


def test_a_quantized_checkpoint_without_the_setting_is_seen_by_its_own_config() -> None:
    plain = {"quantization": None, "kv_cache_dtype": "auto"}
    (problem,) = found(AVX2, checkpoint(AWQ), **plain)
    assert "engine 0.32.0-cpu multiplies awq weights" in problem
    # Nothing is claimed of a checkpoint that is not known.
    assert found(AVX2, FitError("the hub does not answer"), **plain) == []


def test_no_kernel_runs_on_what_is_older_than_avx2() -> None:
    (problem,) = found(AVX2 - {"avx2", "fma"}, checkpoint(PLAIN), **PLAIN.settings)
    assert problem.startswith(
        "box1: processor is AMD Ryzen 9 5950X 16-Core Processor (without avx2, fma); expected one"
    )


@pytest.mark.parametrize("engine", [each for each in known_releases() if each != ENGINE])
def test_releases_for_cards_ask_nothing_of_the_processor(engine: str) -> None:
    assert found(frozenset({"sse2"}), checkpoint(AWQ), engine) == []


def test_a_host_that_lists_no_flags_is_not_refused_for_them() -> None:
    assert found(frozenset(), checkpoint(AWQ)) == []
