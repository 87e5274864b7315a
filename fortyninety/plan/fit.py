"""Decide whether what a host's settings ask for fits its cards. No input or output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fortyninety.cards.known import card_named, card_of
from fortyninety.fit.alternatives import Alternative, alternatives
from fortyninety.fit.errors import FitError, ShapeError
from fortyninety.fit.estimate import Fit, estimate, kv_bytes_per_token
from fortyninety.fit.flags import Flags
from fortyninety.fit.report import fit_text
from fortyninety.fit.shape import Box, make_shape
from fortyninety.fit.weights import Weights
from fortyninety.plan.plan import tensor_parallel_size
from fortyninety.problem import Problem
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading

# Of the CPU build, whose KV cache is not what is left over but what its card's arguments say.
FIXED_KV_CACHE = "--kv-cache-memory-bytes"
BLOCK = 16


@dataclass(frozen=True)
class Peer:
    """Another member of the host's cell, which holds its own part of the model's layers."""

    name: str
    reading: HostReading


@dataclass(frozen=True)
class HostFit:
    """The answer for one host, and what it rests on besides what the host says."""

    name: str
    fit: Fit
    alternatives: tuple[Alternative, ...]
    remarks: tuple[str, ...] = ()


def host_box(host: str, settings: Settings, reading: HostReading) -> tuple[Box, tuple[str, ...]]:
    """The host's cards, and what had to be assumed of them.

    A card with a driver says its memory itself; without one, gpu_model's is known; a host that was
    not read has gpu_count cards, or as many as it takes.
    """
    if reading.cards.gpus:
        return Box(tuple(card_of(gpu.name, gpu.memory) for gpu in reading.cards.gpus), host), ()
    count = len(reading.cards.devices)
    why = "has no driver to ask"
    if not reading.readable:
        count = settings.gpu_count or _cards_wanted(settings)
        failed = "reached" if reading.unreadable is None else f"read ({reading.unreadable})"
        why = f"was not {failed}; {count} card{'' if count == 1 else 's'} assumed"
    known = card_named(settings.gpu_model)
    if known is None:
        raise ShapeError(f"{host} {why}, and the memory of {settings.gpu_model!r} is not known")
    remark = f"{host} {why}: {known.memory} MiB a card, as every {known.product} has"
    return Box((known.card(),) * count, host), (remark,)


def _cards_wanted(settings: Settings) -> int:
    return 1 if settings.tensor_parallel_size == "all" else settings.tensor_parallel_size


def settings_flags(settings: Settings, **changes: object) -> Flags:
    """The engine's flags that the answer depends on, as the settings have them."""
    values = {
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "prefix_caching": settings.enable_prefix_caching,
        "enforce_eager": "--enforce-eager" in settings.engine_arguments,
    }
    return Flags(**{**values, **changes})  # type: ignore[arg-type]


def planned_fit(
    host: str,
    settings: Settings,
    release: Release,
    reading: HostReading,
    weights: Weights,
    *,
    peers: tuple[Peer, ...] = (),
) -> Fit:
    """The answer for a host with GPUs, and the other members of its cell, as its settings stand.

    Raises FitError.
    """
    members = (Peer(host, reading), *peers)
    boxes = [host_box(each.name, settings, each.reading)[0] for each in members]
    size = None if settings.tensor_parallel_size == "all" else settings.tensor_parallel_size
    return estimate(weights, make_shape(boxes, size), release.version, settings_flags(settings))


def fit_problems(
    host: str,
    settings: Settings,
    release: Release,
    reading: HostReading,
    weights: Weights | FitError,
    *,
    peers: tuple[Peer, ...] = (),
    others: Callable[[], Sequence[tuple[str, Weights]]] = tuple,
) -> list[Problem]:
    """The problem that preflight has with the plan's memory, if any; none for the CPU build.

    `others` are the checkpoints that may stand in for one that does not fit, and are asked for only
    then.
    """
    if release.device == "cpu":
        return []
    remedy = 'Set fit = "warn" to go on all the same'
    try:
        if isinstance(weights, FitError):
            raise weights
        found = planned_fit(host, settings, release, reading, weights, peers=peers)
    except FitError as error:
        return [
            Problem(
                host=host,
                subject="fit",
                found=f"not computable ({error})",
                expected="a plan that fits",
                remedy=remedy,
            )
        ]
    if found.fits:
        return []
    table = fit_text(found, alternatives(found, others()))
    if found.missing:
        return [
            Problem(
                host=host,
                subject="engine",
                found=f"{settings.engine!r}: {found.missing[0]}",
                expected="an engine that serves this checkpoint on these cards",
                remedy=f"Choose what would work from below, or set fit = {'warn'!r} to insist",
                table=table,
            )
        ]
    return [
        Problem(
            host=host,
            subject="memory",
            found=f"too small: {found.reasons[0]}",
            expected="a plan that fits the cards",
            remedy=f"Choose what would fit from below, or set fit = {'warn'!r} to insist",
            table=table,
        )
    ]


def predicted_kv_tokens(
    settings: Settings,
    release: Release,
    reading: HostReading,
    weights: Weights,
    *,
    peers: tuple[Peer, ...] = (),
) -> int:
    """How many tokens of KV cache the engine will say it has. Raises FitError."""
    if release.device == "cuda":
        return planned_fit("", settings, release, reading, weights, peers=peers).kv_tokens
    extra = release.extra_arguments
    if peers and release.multi_node is not None and release.multi_node.extra_arguments is not None:
        extra = release.multi_node.extra_arguments
    arguments = [*extra, *settings.engine_arguments]
    if FIXED_KV_CACHE not in arguments:
        raise FitError(f"engine {release.release} sizes its KV cache by the host's memory")
    size = int(arguments[arguments.index(FIXED_KV_CACHE) + 1])
    architecture = weights.architecture
    each = kv_bytes_per_token(
        architecture,
        -(-architecture.layers // (1 + len(peers))),  # of the member that holds most of them
        tensor_parallel_size(settings, reading),
        settings.kv_cache_dtype,
    )
    return size // (each * BLOCK) * BLOCK
