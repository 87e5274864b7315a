"""Write boxes as a table: one line each, useful at 80 columns, a second one only for trouble."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fortyninety.engine.status.reading import CardStatus
from fortyninety.engine.status.state import (
    ASKED,
    DRAINED,
    FRONT,
    MEMBER,
    SERVING,
    STARTING,
    BoxStatus,
)

LEAST_WIDTH = 80
# Characters of a commit, where there is room for one.
_COMMIT = 8
_COLOURS = {
    SERVING: "green",
    MEMBER: "green",
    FRONT: "green",
    STARTING: "yellow",
    DRAINED: "cyan",
    ASKED: "white",
}


@dataclass(frozen=True)
class Row:
    """A line of the table, and its colour as terminals name them; empty is none."""

    text: str
    colour: str = ""


def rows(boxes: Sequence[BoxStatus], width: int = LEAST_WIDTH) -> Iterable[Row]:
    """The lines of the boxes, none wider than `width`."""
    wide = max(width, LEAST_WIDTH)
    # What is beyond 80 columns is for names first, then for the model's commit.
    names = min(max([12, *(len(box.name) for box in boxes)]), 12 + max(0, wide - LEAST_WIDTH))
    commit = wide - LEAST_WIDTH - (names - 12) > _COMMIT
    head = _joined("box", names, "state", "engine", "model" if commit else None)
    yield Row(f"{head}   memory draw/cap W  °C  tok/s run+w   KV  hit")
    for box in boxes:
        colour = _COLOURS.get(box.state, "red") if not box.trouble else "yellow"
        snapshot = box.snapshot[:_COMMIT] if commit else None
        start = _joined(box.name, names, box.state, box.engine, snapshot)
        yield Row(f"{start} {_cards(box.cards)} {_load(box)}".rstrip()[:wide], colour)
        for line in (*([box.why] if box.why else []), *box.trouble):
            yield Row(f"    {line}"[:wide], colour)


def summary(boxes: Sequence[BoxStatus]) -> str:
    """A line of the whole: how many are in each state, and all their tokens per second."""
    states = dict.fromkeys(box.state for box in boxes)
    counts = ", ".join(f"{sum(box.state == state for box in boxes)} {state}" for state in states)
    rates = [box.tokens_per_second for box in boxes if box.tokens_per_second is not None]
    running = sum(box.metrics.running or 0 for box in boxes if box.metrics is not None)
    waiting = sum(box.metrics.waiting or 0 for box in boxes if box.metrics is not None)
    speed = f"; {sum(rates):.0f} tokens/s, {running:.0f} running, {waiting:.0f} waiting"
    return f"{counts}{speed if rates else ''}"


def _joined(name: str, names: int, state: str, engine: str, commit: str | None) -> str:
    parts = [_cut(name, names), _cut(state, 9), _cut(engine.replace(".post", "p"), 10)]
    if commit is not None:
        parts.append(_cut(commit, _COMMIT))
    return " ".join(parts)


def _cut(text: str, width: int) -> str:
    """The text in exactly so many columns; the end of a longer one is left out."""
    return f"{text if len(text) <= width else f'{text[: width - 1]}…':{width}}"


def _cards(cards: Sequence[CardStatus]) -> str:
    """The memory, draw and heat of all cards: GiB of GiB, W of W, and the hottest."""
    used, total = (_sum(getattr(card, key) for card in cards) for key in ("used", "total"))
    draw, cap = (_sum(getattr(card, key) for card in cards) for key in ("draw", "cap"))
    heats = [card.heat for card in cards if card.heat is not None]
    digits = 0 if total is not None and total >= 100 * 1024 else 1
    memory = (
        "-" if used is None or total is None else f"{used / 1024:.{digits}f}/{total / 1024:.0f}"
    )
    power = "-" if draw is None else f"{draw:.0f}/{'-' if cap is None else f'{cap:.0f}'}"
    return f"{memory:>8} {power:>10} {f'{max(heats):.0f}' if heats else '-':>3}"


def _load(box: BoxStatus) -> str:
    metrics = box.metrics
    if metrics is None:
        return ""
    speed = box.tokens_per_second
    rate = "-" if speed is None else f"{speed:.{1 if speed < 1000 else 0}f}"
    waits = f"{metrics.running or 0:.0f}+{metrics.waiting or 0:.0f}"
    return f"{rate:>6} {waits:>5} {_share(metrics.kv_usage)} {_share(box.hits)}"


def _share(value: float | None) -> str:
    return f"{'-' if value is None else f'{value * 100:.0f}%':>4}"


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
