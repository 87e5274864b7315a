"""Judge units that were changed by those that were not: by failed requests and by speed.

Counters of one span of time. What a unit did before it was changed stands in where every other is
changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# A unit is too slow from here on: the gap between two tokens, as times that of the others. Chosen
# so that one that is twice as slow is found; nobody measured how far equal boxes differ under load.
SLOWER = 1.5
# Fewer tokens say nothing of speed: an engine of the lab that had just started took 138 ms a token
# for its first 250, the others 49 ms, on a busy machine and with nothing wrong. One who reads at 25
# tokens/s takes so many in 40 s.
LEAST_TOKENS = 1000
# The share of requests that may fail beyond that of the others.
TOLERATED = 0.01


@dataclass(frozen=True)
class Measured:
    """What units did in a span: requests that ended, those that failed, gaps between tokens."""

    requests: int = 0
    failed: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.requests + other.requests,
            self.failed + other.failed,
            self.gaps + other.gaps,
            self.gap_seconds + other.gap_seconds,
        )

    def since(self, before: Measured) -> Measured:
        """What was done since an earlier reading; all of it where the engine began anew."""
        counts = (
            self.requests - before.requests,
            self.failed - before.failed,
            self.gaps - before.gaps,
        )
        if min(counts) < 0 or self.gap_seconds < before.gap_seconds:
            return self
        return Measured(*counts, self.gap_seconds - before.gap_seconds)

    @property
    def failed_share(self) -> float:
        """The failed of all that ended."""
        return self.failed / self.requests if self.requests else 0.0

    @property
    def gap(self) -> float | None:
        """Seconds between two tokens, None where there are too few to say."""
        return self.gap_seconds / self.gaps if self.gaps >= LEAST_TOKENS else None


@dataclass(frozen=True)
class Verdict:
    """Whether a unit may stay as it is. `said` is what was compared, or why it may not."""

    passed: bool
    said: str


def total(of: Iterable[Measured]) -> Measured:
    """What units did together."""
    return sum(of, Measured())


def verdict(changed: Measured, others: Measured, earlier: Measured) -> Verdict:
    """Judge what a unit did while it was watched.

    `others` is what the units that are not changed did meanwhile, `earlier` what this one did
    before.
    """
    seen = f"{changed.requests} requests, {changed.failed} failed"
    allowed = max(others.failed_share, earlier.failed_share) + TOLERATED
    if changed.failed_share > allowed:
        return Verdict(
            False, f"{seen}; of others {others.failed} of {others.requests} failed meanwhile"
        )
    if changed.gap is None:
        return Verdict(True, f"{seen}, too few tokens to judge its speed")
    if others.gap is not None:
        return _speed(seen, changed.gap, others.gap, "others")
    if earlier.gap is not None:
        return _speed(seen, changed.gap, earlier.gap, "itself before")
    return Verdict(True, f"{seen}, {_ms(changed.gap)} a token and nothing to compare it with")


def _speed(seen: str, own: float, reference: float, whose: str) -> Verdict:
    compared = f"{seen}, {_ms(own)} a token, {whose} {_ms(reference)}"
    return Verdict(own <= reference * SLOWER, compared)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
