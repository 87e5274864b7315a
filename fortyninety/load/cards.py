"""Read what the cards draw while a load runs: what nvidia-smi prints, again and again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fortyninety.survey.throttling import throttle_reasons

# The names that every driver from 525 on has.
QUERY = (
    "nvidia-smi --query-gpu=index,power.draw,power.limit,temperature.gpu,"
    "clocks_throttle_reasons.active --format=csv,noheader,nounits"
)
# Of the reasons that a card's clocks are held down for, those that make figures wrong. Its cap is
# what somebody chose.
_CHOSEN = "its power cap"
_NUMBER = r"[0-9]{{1,6}}(?:\.[0-9]{{1,3}})?|\[[A-Za-z/ ]{{1,30}}\]"
_LINE = re.compile(
    r"(?P<index>[0-9]{1,3}), "
    + ", ".join(f"(?P<{name}>{_NUMBER.format()})" for name in ("draw", "cap", "heat"))
    + r", (?P<bits>0x[0-9a-fA-F]{1,16}|\[[A-Za-z/ ]{1,30}\])",
    re.ASCII,
)


@dataclass(frozen=True)
class CardNow:
    """A card at one moment: W, W, degrees Celsius, and what holds its clocks down."""

    index: int
    draw: float | None
    cap: float | None
    heat: float | None
    held_by: tuple[str, ...]


@dataclass(frozen=True)
class Draw:
    """What the cards drew during a batch: the mean of all together, in W, and the hottest."""

    watts: float
    cap: float | None
    heat: float | None
    readings: int
    held_by: tuple[str, ...]


def read_cards(text: str) -> tuple[CardNow, ...]:
    """The cards in an answer of QUERY; lines that are none are left out."""
    return tuple(
        CardNow(
            index=int(found["index"]),
            draw=_number(found["draw"]),
            cap=_number(found["cap"]),
            heat=_number(found["heat"]),
            held_by=_reasons(found["bits"]),
        )
        for line in text.splitlines()
        if (found := _LINE.fullmatch(line.strip())) is not None
    )


def draw_of(readings: Sequence[tuple[CardNow, ...]]) -> Draw | None:
    """What was drawn, from readings at even intervals; None where no card said it."""
    sums = [
        sum(card.draw for card in cards if card.draw is not None)
        for cards in readings
        if any(card.draw is not None for card in cards)
    ]
    if not sums:
        return None
    every = [card for cards in readings for card in cards]
    caps = [card.cap for card in readings[-1] if card.cap is not None]
    return Draw(
        watts=sum(sums) / len(sums),
        cap=sum(caps) if caps else None,
        heat=_greatest(card.heat for card in every),
        readings=len(sums),
        held_by=tuple(sorted({each for card in every for each in card.held_by} - {_CHOSEN})),
    )


def _greatest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _number(text: str) -> float | None:
    return None if text.startswith("[") else float(text)


def _reasons(bits: str) -> tuple[str, ...]:
    return () if bits.startswith("[") else throttle_reasons(int(bits, 16))
