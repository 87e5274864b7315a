"""Find the nearest shapes that fit, each with its price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fortyninety.fit.architecture import Architecture
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import Box, make_shape
from fortyninety.fit.weights import Weights

# What a new release takes by itself, and what lets an old one cut prompts.
SMALL_BATCH = 2048
SHORTEST_CONTEXT = 1024

# The most that the settings take (fortyninety/settings/model.py).
HIGHEST_UTILIZATION = 0.98

# Releases to say where a second box needs another engine, or a 2-bit checkpoint an older one.
CELL_RELEASE = "0.32.0"
AQLM_RELEASE = "0.8.5.post1"


@dataclass(frozen=True)
class Alternative:
    """A change after which the plan fits: what to change, its price, and what it then holds."""

    change: str
    price: str
    fit: Fit


def alternatives(fit: Fit, others: Sequence[tuple[str, Weights]] = ()) -> tuple[Alternative, ...]:
    """What would fit in place of `fit`, the smallest change first.

    Where it fits, what would hold more sequences at once; nothing where it holds all of them.
    `others` are checkpoints by name that may stand in for this one. CPU offload is never among
    them: from 0.24.0 to 0.27.1 at least the flag does nothing (measured), and where it works it
    costs a transfer of the offloaded weights for every token.
    """
    if fit.fits:
        holds = fit.concurrency
        found = [] if holds >= fit.flags.max_num_seqs else [*_roomier(fit), *_more_cards(fit)]
        return tuple(each for each in found if each.fit.fits and each.fit.concurrency > holds)
    if fit.missing:
        found = [*_other_caches(fit), *_later_release(fit), *_others(fit, others)]
    else:
        found = [*_flags(fit), *_more_cards(fit), *_others(fit, others)]
    return tuple(alternative for alternative in found if alternative.fit.fits)


def _try(fit: Fit, **changes: object) -> Fit | None:
    weights = changes.get("weights", fit.weights)
    shape = changes.get("shape", fit.shape)
    release = changes.get("release", fit.engine.release)
    flags = changes.get("flags", fit.flags)
    try:
        return estimate(weights, shape, release, flags)  # type: ignore[arg-type]
    except FitError:
        return None


def _other_caches(fit: Fit) -> Iterator[Alternative]:
    """Another kind of KV cache, for a card that the engine has no kernel of this one for."""
    prices = {
        "fp8_e5m2": "the same size; a bit less of each value than fp8 keeps",
        "auto": "keys and values at 16 bits: twice the size",
    }
    for dtype, price in prices.items():
        tried = _try(fit, flags=replace(fit.flags, kv_cache_dtype=dtype))
        if dtype != fit.flags.kv_cache_dtype and tried is not None and not tried.missing:
            tried = tried if tried.fits else _longest_context(tried)
            if tried is not None:
                yield Alternative(_flags_too(tried, fit).removeprefix(", "), price, tried)


def _later_release(fit: Fit) -> Iterator[Alternative]:
    """The release of the cells, for what an older one does not know."""
    if fit.engine.release == CELL_RELEASE:
        return
    for dtype in dict.fromkeys((fit.flags.kv_cache_dtype, "auto")):
        flags = replace(fit.flags, kv_cache_dtype=dtype)
        tried = _with_small_batch(fit, fit.shape, flags, CELL_RELEASE)
        if tried is not None:
            yield Alternative(
                f"engine {CELL_RELEASE} (driver 580){_flags_too(tried, fit)}",
                "another driver branch, and so a reboot",
                tried,
            )
            return


def _flags(fit: Fit) -> Iterator[Alternative]:
    """Flags with which it fits."""
    flags = fit.flags
    yield from _smaller_batch(fit)
    yield from _eight_bits(fit)
    most = min(use.most_utilization for use in fit.cards)
    if 0 < most < flags.gpu_memory_utilization:
        yield from _utilization(
            fit, most, "less KV cache, and room for the blocks that long prompts leave in pieces"
        )
    yield from _shorter(fit, _longest_context(fit))


def _roomier(fit: Fit) -> Iterator[Alternative]:
    """Flags with which more sequences of full length are held at once."""
    flags = fit.flags
    if fit.engine.tries_kernels and not flags.compiled_before:
        tried = _try(fit, flags=replace(flags, compiled_before=True))
        if tried is not None:
            yield Alternative(
                "the second start and every later one",
                "nothing to change: the first tries kernels on a copy of the embedding",
                tried,
            )
    yield from _smaller_batch(fit)
    yield from _eight_bits(fit)
    most = min(HIGHEST_UTILIZATION, *(use.most_utilization for use in fit.cards))
    if most > flags.gpu_memory_utilization:
        yield from _utilization(fit, most, "all that long prompts leave over")
    yield from _shorter(fit, _longest_context(fit, sequences=flags.max_num_seqs))


def _smaller_batch(fit: Fit) -> Iterator[Alternative]:
    if fit.batched_tokens > SMALL_BATCH >= fit.flags.max_num_seqs:
        tried = _try(fit, flags=replace(fit.flags, max_num_batched_tokens=SMALL_BATCH))
        if tried is not None:
            yield Alternative(
                f"max_num_batched_tokens {SMALL_BATCH} instead of {fit.batched_tokens}",
                "long prompts are read in pieces: a little slower to the first token",
                tried,
            )


def _eight_bits(fit: Fit) -> Iterator[Alternative]:
    if fit.flags.kv_cache_dtype == "auto":
        tried = _try(fit, flags=replace(fit.flags, kv_cache_dtype="fp8"))
        if tried is not None:
            yield Alternative(
                "kv_cache_dtype fp8 instead of 16 bits",
                "keys and values at 8 bits: a small loss of accuracy",
                tried,
            )


def _utilization(fit: Fit, share: float, price: str) -> Iterator[Alternative]:
    tried = _try(fit, flags=replace(fit.flags, gpu_memory_utilization=share))
    if tried is not None:
        own = fit.flags.gpu_memory_utilization
        yield Alternative(f"gpu_memory_utilization {share} instead of {own}", price, tried)


def _shorter(fit: Fit, found: Fit | None) -> Iterator[Alternative]:
    if found is not None:
        yield Alternative(
            f"max_model_len {found.flags.max_model_len} instead of {fit.flags.max_model_len}",
            "longer prompts and answers are refused",
            found,
        )


def _longest_context(fit: Fit, sequences: int = 1) -> Fit | None:
    """The longest context of which so many sequences fit at once, in whole 1024 tokens."""
    low, high, best = 1, fit.flags.max_model_len // SHORTEST_CONTEXT, None
    while low <= high:
        middle = (low + high) // 2
        flags = replace(fit.flags, max_model_len=middle * SHORTEST_CONTEXT)
        tried = _try(fit, flags=flags)
        if tried is not None and tried.fits and tried.concurrency >= sequences:
            best, low = tried, middle + 1
        else:
            high = middle - 1
    return best


def _more_cards(fit: Fit) -> Iterator[Alternative]:
    """The fewest cards more of the same kind: in the box, and in boxes of one card."""
    card, batch = fit.shape.card, fit.flags
    for count in (2, 4, 8):
        if count <= fit.shape.cards:
            continue
        shape = make_shape([Box((card,) * count)])
        tried = _with_small_batch(fit, shape, batch, fit.engine.release)
        if tried is not None:
            yield Alternative(
                f"one box with {count} such cards, tensor_parallel_size {count}"
                + _flags_too(tried, fit),
                f"{_more(count - fit.shape.cards, 'card')} in one box"
                + ("" if card.peer_to_peer else "; GeForce cards have no peer-to-peer"),
                tried,
            )
            break
    for count in (2, 3, 4):
        if count <= len(fit.shape.boxes) or len(fit.shape.boxes[0].cards) > 1:
            continue
        shape = make_shape([Box((card,))] * count)
        release = fit.engine.release if fit.engine.pipelines_over_boxes else CELL_RELEASE
        tried = _with_small_batch(fit, shape, batch, release)
        if tried is not None:
            engine = "" if release == fit.engine.release else f", engine {release} (driver 580)"
            yield Alternative(
                f"{count} boxes with one such card each, pipeline_parallel_size {count}{engine}"
                + _flags_too(tried, fit),
                f"{_more(count - len(fit.shape.boxes), 'box')}; about half the speed of two cards "
                "in one box for one reader, and a link between the boxes",
                tried,
            )
            break


def _with_small_batch(fit: Fit, shape: object, flags: Flags, release: str) -> Fit | None:
    """As it is, or else with a batch that every release can be given, or with less of the cards."""
    small = replace(flags, max_num_batched_tokens=max(SMALL_BATCH, flags.max_num_seqs))
    for choice in (flags, small):
        tried = _try(fit, shape=shape, flags=choice, release=release)
        if tried is not None and not tried.fits:
            most = min(use.most_utilization for use in tried.cards)
            if 0 < most < flags.gpu_memory_utilization:
                less = replace(choice, gpu_memory_utilization=most)
                tried = _try(fit, shape=shape, flags=less, release=release)
        if tried is not None and tried.fits:
            return tried
    return None


def _others(fit: Fit, others: Sequence[tuple[str, Weights]]) -> Iterator[Alternative]:
    for name, weights in others:
        own, other = fit.weights.architecture, weights.architecture
        if not _same_shape(own, other) or weights.total >= fit.weights.total:
            continue
        method = other.quantization.method if other.quantization else None
        if method != "aqlm":
            yield from _smaller(fit, name, weights)
            continue
        bits = replace(fit.flags, max_num_batched_tokens=max(512, fit.flags.max_num_seqs))
        release = fit.engine.release if method in fit.engine.methods else AQLM_RELEASE
        tried = _try(fit, weights=weights, flags=bits, release=release)
        if tried is None:
            continue
        if not tried.fits:
            tried = _longest_context(tried)
        if tried is None:
            continue
        yield Alternative(
            f"{name} ({other.method}), engine {release}, max_model_len "
            f"{tried.flags.max_model_len}, max_num_batched_tokens {tried.batched_tokens}",
            "2 bits a weight: the base model's MMLU falls from 0.784 to 0.735 (its authors); "
            "computed, never run",
            tried,
        )


def _same_shape(own: Architecture, other: Architecture) -> bool:
    """Whether two checkpoints may hold one model: an AWQ one may have a padded MLP."""
    return (own.hidden, own.layers, own.vocabulary) == (
        other.hidden,
        other.layers,
        other.vocabulary,
    ) and abs(own.intermediate - other.intermediate) * 100 <= own.intermediate


def _smaller(fit: Fit, name: str, weights: Weights) -> Iterator[Alternative]:
    """The same model with smaller weights, on the same cards."""
    lighter = replace(fit, weights=weights)
    tried = _with_small_batch(lighter, fit.shape, fit.flags, fit.engine.release)
    if tried is not None:
        own, other = fit.weights.architecture, weights.architecture
        yield Alternative(
            f"{name} ({other.method}){_flags_too(tried, fit)}",
            f"weights at {other.method} instead of {own.method}: a small loss of accuracy",
            tried,
        )


def _flags_too(tried: Fit, fit: Fit) -> str:
    """The flags that have to change with the shape, in words that follow it."""
    changed = ""
    for name in (
        "kv_cache_dtype",
        "max_model_len",
        "max_num_batched_tokens",
        "gpu_memory_utilization",
    ):
        value = getattr(tried.flags, name)
        if value != getattr(fit.flags, name):
            changed += f", {name} {value}"
    return changed


def _more(count: int, noun: str) -> str:
    plural = {"card": "cards", "box": "boxes"}[noun]
    return f"one more {noun}" if count == 1 else f"{count} more {plural}"
