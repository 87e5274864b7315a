"""Read what the program `box_status` printed on a box. Nothing of it is trusted."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fortyninety.engine.metrics import Metrics, metrics_of
from fortyninety.survey.throttling import throttle_reasons
from fortyninety.text.printable import printable

LONGEST = 65536
# Characters of a text of the box that are kept.
LONGEST_TEXT = 300

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,3})?|\[[A-Za-z/ ]{1,30}\]"
_FIELDS = ("used", "total", "draw", "cap", "heat", "busy")
_CARD = re.compile(
    r"(?P<index>[0-9]{1,3}), "
    + ", ".join(f"(?P<{name}>{_NUMBER})" for name in _FIELDS)
    + r", (?P<bits>0x[0-9a-fA-F]{1,16}|\[[A-Za-z/ ]{1,30}\])",
    re.ASCII,
)


class Unreadable(Exception):
    """Why what a box printed is no answer, in one line."""


@dataclass(frozen=True)
class CardStatus:
    """A card: MiB, MiB, W, W, degrees Celsius, percent; None where the card does not say it."""

    index: int
    used: float | None
    total: float | None
    draw: float | None
    cap: float | None
    heat: float | None
    busy: float | None
    held_by: tuple[str, ...]


@dataclass(frozen=True)
class Scrape:
    """What the engine said of itself, and when by the box's clock that only goes on."""

    time: float
    metrics: Metrics


@dataclass(frozen=True)
class Drained:
    """Since when and until when a box is drained, in seconds since 1970, and why."""

    since: float | None
    until: float | None
    reason: str


@dataclass(frozen=True)
class BoxReading:
    """What a box said of itself. `unit` and `gateway` are systemd's properties of the units."""

    unit: dict[str, str]
    gateway: dict[str, str] | None
    engine: str
    snapshot: str
    cards: tuple[CardStatus, ...]
    scrapes: tuple[Scrape, ...]
    drained: Drained | None
    cause: str | None
    now: float
    clock: float


def read_box(line: str) -> BoxReading:
    """The reading that a line holds. Raises Unreadable."""
    try:
        found = json.loads(line[: LONGEST + 1])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreadable("it answered what is no JSON object")
    failure = found.get("failure")
    gateway = found.get("gateway")
    return BoxReading(
        unit=_properties(found.get("unit")),
        gateway=None if gateway is None else _properties(gateway),
        engine=_text(found.get("engine")),
        snapshot=_text(found.get("snapshot")),
        cards=_cards(found.get("cards")),
        scrapes=tuple(_scrapes(found.get("scrapes"))),
        drained=_drained(found.get("drained")),
        cause=_text(failure.get("cause")) or None if isinstance(failure, dict) else None,
        now=_number(found.get("now")) or 0.0,
        clock=_number(found.get("clock")) or 0.0,
    )


def _properties(found: object) -> dict[str, str]:
    pairs = list(found.items())[:20] if isinstance(found, dict) else []
    return {_text(key): _text(value) for key, value in pairs}


def _cards(found: object) -> tuple[CardStatus, ...]:
    lines = found.splitlines()[:64] if isinstance(found, str) else []
    return tuple(_card(card) for line in lines if (card := _CARD.fullmatch(line.strip())))


def _card(found: re.Match[str]) -> CardStatus:
    values = {name: None if found[name].startswith("[") else float(found[name]) for name in _FIELDS}
    bits = found["bits"]
    held_by = () if bits.startswith("[") else throttle_reasons(int(bits, 16))
    return CardStatus(int(found["index"]), **values, held_by=held_by)


def _scrapes(found: object) -> Iterable[Scrape]:
    for each in found[:2] if isinstance(found, list) else []:
        values = each.get("values") if isinstance(each, dict) else None
        when = _number(each.get("time")) if isinstance(each, dict) else None
        if when is not None and isinstance(values, list):
            yield Scrape(when, metrics_of(_samples(values)))


def _samples(found: list[Any]) -> Iterable[tuple[str, float]]:
    for each in found[:1000]:
        if isinstance(each, list) and len(each) == 2 and isinstance(each[0], str):
            value = _number(each[1])
            if value is not None:
                yield each[0], value


def _drained(found: object) -> Drained | None:
    if found is None:
        return None
    own = found if isinstance(found, dict) else {}
    return Drained(_number(own.get("since")), _number(own.get("until")), _text(own.get("reason")))


def _number(value: object) -> float | None:
    if type(value) not in (int, float):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    return printable(value, LONGEST_TEXT) if isinstance(value, str) else ""
