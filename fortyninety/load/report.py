"""Write what was measured as a table of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.load.batch import Batch
from fortyninety.load.chat import Chat
from fortyninety.load.figures import Percentiles
from fortyninety.load.result import Capped, Result

_HEAD = (
    "                       first token, s       between tokens, ms   draw   per",
    "batch tokens/s   each    p50    p95    p99    p50    p95    p99     W  joule",
)


def report(result: Result) -> Iterator[str]:
    """The lines of a result; those of what speaks against the figures begin with "!"."""
    load = result.load
    yield (
        f"{result.where}: {load.model}, {load.prompt_tokens} tokens in and "
        f"{load.completion_tokens} out, each batch {result.rounds} times"
    )
    for each in result.capped:
        if each.cap is not None:
            yield f"cards capped at {each.cap} W"
        yield from _HEAD
        for batch in each.batches:
            yield _line(batch)
            for doubt in batch.doubts:
                yield f"    ! {doubt}"
    yield from _ceiling(result)
    if len(result.capped) > 1:
        yield from _sweep(result.capped)
    if result.chat is not None:
        yield from _chat(result.chat)
    for doubt in result.doubts:
        yield f"! {doubt}"
    if not result.trusted:
        yield "! Lines with ! say why these figures are not to be trusted."


def _line(batch: Batch) -> str:
    figures, joule = batch.figures, batch.tokens_per_joule
    return (
        f"{batch.size:5} {figures.tokens_per_second:8.1f} {_number(figures.per_stream, 6, 1)} "
        f"{_percentiles(figures.first_token, 1, 2)} {_percentiles(figures.inter_token, 1000, 0)} "
        f"{_number(None if batch.draw is None else batch.draw.watts, 5, 0)} {_number(joule, 6, 3)}"
    )


def _percentiles(found: Percentiles | None, times: float, digits: int) -> str:
    if found is None:
        return " ".join([f"{'-':>6}"] * 3)
    return " ".join(
        f"{value * times:6.{_digits(value * times, digits)}f}"
        for value in (found.p50, found.p95, found.p99)
    )


def _digits(value: float, digits: int) -> int:
    """Digits after the point: one more where the value would show as few."""
    return digits + 1 if value < 10 else digits


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def _ceiling(result: Result) -> Iterator[str]:
    first = next((batch for each in result.capped for batch in each.batches), None)
    if result.ceiling is None or first is None or first.size != 1:
        return
    rate = first.figures.per_stream
    if rate is not None:
        yield (
            f"One reader gets {rate / result.ceiling:.0%} of the shape's ceiling, "
            f"{result.ceiling:.1f} tokens/s."
        )


def _sweep(capped: tuple[Capped, ...]) -> Iterator[str]:
    """What each cap costs of the speed at the highest, and gains for each joule."""
    most = max(capped, key=lambda each: each.cap or 0)
    for each in capped:
        if each is most:
            continue
        parts = []
        for batch, full in zip(each.batches, most.batches, strict=True):
            speed = batch.figures.tokens_per_second / full.figures.tokens_per_second - 1
            parts.append(f"batch {batch.size} {speed:+.1%}")
        yield f"{each.cap} W instead of {most.cap} W: {', '.join(parts)} tokens/s"


def _chat(chat: Chat) -> Iterator[str]:
    yield "A chat, each turn with all that was said before:"
    yield " turn  tokens of it  in the cache  first token, s"
    for number, turn in enumerate(chat.turns, 1):
        hits = "-" if turn.hits is None else f"{turn.hits:.0%}"
        yield f"{number:5} {turn.prompt_tokens:13} {hits:>13} {turn.first_token:15.2f}"
    for doubt in chat.doubts:
        yield f"    ! {doubt}"
