"""Make figures of times: percentiles, and what a batch comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fortyninety.load.timed_request import Timed

SHARES = (50, 95, 99)


@dataclass(frozen=True)
class Percentiles:
    """The values that 50, 95 and 99 of a hundred do not exceed."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Figures:
    """What a batch came to. Times are seconds; tokens are those that the engine counted.

    `seconds` runs from the first request sent to the last token; `per_stream` is the median of the
    requests' speeds after their first tokens.
    """

    requests: int
    prompt_tokens: int
    tokens: int
    seconds: float
    tokens_per_second: float
    per_stream: float | None
    first_token: Percentiles
    inter_token: Percentiles | None
    events: int


def figures(answers: Sequence[Timed]) -> Figures:
    """The figures of the answers of a batch, at least one."""
    seconds = max(each.arrivals[-1] for each in answers) - min(each.sent for each in answers)
    tokens = sum(each.tokens for each in answers)
    rates = [each.rate for each in answers if each.rate is not None]
    gaps = [gap for each in answers for gap in each.gaps]
    return Figures(
        requests=len(answers),
        prompt_tokens=sum(each.prompt_tokens for each in answers),
        tokens=tokens,
        seconds=seconds,
        # A clock that did not move is none of a real engine.
        tokens_per_second=tokens / seconds if seconds > 0 else 0.0,
        per_stream=percentile(rates, 50) if rates else None,
        first_token=percentiles([each.first_token for each in answers]),
        inter_token=percentiles(gaps) if gaps else None,
        events=sum(len(each.arrivals) for each in answers),
    )


def percentiles(values: Iterable[float]) -> Percentiles:
    """The percentiles of some values, at least one."""
    ordered = sorted(values)
    return Percentiles(*(percentile(ordered, share) for share in SHARES))


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of a hundred do not exceed, between two of them in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
