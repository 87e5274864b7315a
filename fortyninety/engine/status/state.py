"""Decide what state a box is in, and what is to be shown of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fortyninety.engine.metrics import Metrics, grown
from fortyninety.engine.status.reading import BoxReading, CardStatus, Scrape
from fortyninety.text.printable import printable

SERVING, STARTING, DRAINED, FAILED = "serving", "starting", "drained", "failed"
STOPPED, STOPPING, NO_ENGINE, MEMBER = "stopped", "stopping", "no engine", "member"
UNREACHABLE = "no answer"
# Nothing is known of it yet.
ASKED = "asked"
FRONT = "front"
# In these a box is as somebody wants it.
WANTED = (SERVING, DRAINED, MEMBER, FRONT)

# What tells the trouble of a card from a cap that somebody set.
_CHOSEN = "its power cap"
# What loading says of its progress: "Loading safetensors checkpoint shards:  40% Completed | 2/5".
_SHARE = re.compile(r"\b(100|[0-9]{1,2})% Completed")


@dataclass(frozen=True)
class BoxStatus:
    """How a box is. `why` is more of its state in a line, empty where there is no more to say.

    `tokens_per_second` is None where it is not known yet, `hits` the prefix cache's share of late
    or else since the engine's start. Of `trouble` are the cards and the gateway.
    """

    name: str
    state: str
    why: str = ""
    engine: str = ""
    snapshot: str = ""
    cards: tuple[CardStatus, ...] = ()
    metrics: Metrics | None = None
    tokens_per_second: float | None = None
    hits: float | None = None
    trouble: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether it is as somebody wants it."""
        return self.state in WANTED and not self.trouble


@dataclass(frozen=True)
class Expected:
    """What the settings say of a box: how many cards, if they do, and what it is for."""

    cards: int | None = None
    engine: bool = True
    headless: bool = False


def status_of(
    name: str, reading: BoxReading, expected: Expected, earlier: Scrape | None = None
) -> BoxStatus:
    """The status that follows from a reading; `earlier` is the last scrape of the one before."""
    state, why = _state(reading, expected)
    scrapes = [*([earlier] if earlier is not None else []), *reading.scrapes]
    first, last = (scrapes[0], scrapes[-1]) if scrapes else (None, None)
    answers = bool(reading.scrapes)
    return BoxStatus(
        name=name,
        state=state,
        why=why,
        engine=_release(reading.engine),
        snapshot=reading.snapshot,
        cards=reading.cards,
        metrics=last.metrics if answers and last is not None else None,
        tokens_per_second=_rate(first, last) if answers else None,
        hits=_hits(first, last) if answers else None,
        trouble=tuple(_trouble(reading, expected)),
    )


def _state(reading: BoxReading, expected: Expected) -> tuple[str, str]:
    """The state and why, or how far."""
    if not expected.engine:
        return FRONT, ""
    if reading.drained is not None and not _over(reading):
        return DRAINED, _drained(reading)
    if reading.unit.get("LoadState") != "loaded":
        return NO_ENGINE, "no deploy has set it up" if reading.unit else "systemd does not answer"
    return _of_unit(reading, expected)


def _of_unit(reading: BoxReading, expected: Expected) -> tuple[str, str]:
    """The same, where the engine's unit is there."""
    active, sub = (reading.unit.get(key, "") for key in ("ActiveState", "SubState"))
    restarts = reading.unit.get("NRestarts", "0")
    again = f" (restarted {restarts} times)" if restarts not in ("", "0") else ""
    if active == "failed" or sub.startswith("auto-restart"):
        result = reading.unit.get("Result", "")
        return FAILED, f"{reading.cause or f'systemd says {result or active}'}{again}"
    if active in ("inactive", "deactivating"):
        return STOPPED if active == "inactive" else STOPPING, reading.cause or ""
    if reading.scrapes or (expected.headless and active == "active"):
        return SERVING if reading.scrapes else MEMBER, ""
    return STARTING, f"{_progress(reading)}{again}"


def _progress(reading: BoxReading) -> str:
    """How far a start is: since when, and the engine's last line or the share of it."""
    try:
        since = int(reading.unit.get("ActiveEnterTimestampMonotonic", "0")) / 1e6
    except ValueError:
        since = 0.0
    took = f"for {reading.clock - since:.0f} s" if 0 < since <= reading.clock else ""
    said = reading.cause or ""
    share = _SHARE.search(said)
    if share is not None:
        said = f"weights {share[1]}%"
    return ", ".join(part for part in (took, printable(said, 120)) if part)


def _over(reading: BoxReading) -> bool:
    until = reading.drained.until if reading.drained is not None else None
    return until is not None and reading.now > until


def _drained(reading: BoxReading) -> str:
    found = reading.drained
    if found is None:
        return ""
    left = None if found.until is None else found.until - reading.now
    until = "" if left is None else f"for another {_duration(left)}"
    return ": ".join(part for part in (until, found.reason) if part)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _rate(first: Scrape | None, last: Scrape | None) -> float | None:
    if first is None or last is None or last.time <= first.time:
        return None
    made = grown(first.metrics.generated_tokens, last.metrics.generated_tokens)
    return None if made is None else made / (last.time - first.time)


def _hits(first: Scrape | None, last: Scrape | None) -> float | None:
    """The prefix cache's share between the two, or else since the start, or as the engine says."""
    if first is None or last is None:
        return None
    asked = grown(first.metrics.prefix_queries, last.metrics.prefix_queries)
    hits = grown(first.metrics.prefix_hits, last.metrics.prefix_hits)
    if not asked:
        asked, hits = last.metrics.prefix_queries, last.metrics.prefix_hits
    if asked and hits is not None:
        return min(hits / asked, 1.0)
    return last.metrics.prefix_hit_share


def _trouble(reading: BoxReading, expected: Expected) -> list[str]:
    found = [
        f"GPU {card.index} is held down by {reason}"
        for card in reading.cards
        for reason in card.held_by
        if reason != _CHOSEN
    ]
    if expected.cards is not None and len(reading.cards) < expected.cards:
        found.append(f"{len(reading.cards)} of {expected.cards} cards answer")
    if reading.gateway is not None and reading.gateway.get("ActiveState") != "active":
        found.append(f"its gateway is {reading.gateway.get('ActiveState') or 'not there'}")
    return found


def _release(environment: str) -> str:
    """The release of an environment's folder: "0.32.0-cpu-04b6dd22f06c" is of "0.32.0-cpu"."""
    release, _, lock = environment.rpartition("-")
    return release if re.fullmatch("[0-9a-f]{12}", lock) else environment
