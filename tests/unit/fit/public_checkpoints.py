"""Public checkpoints, as their config.json has them, and the table of what fits which card.

    python -m tests.unit.fit.public_checkpoints

writes the table into docs/fit.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fortyninety.cards.known import known_cards
from fortyninety.checkout import ROOT
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import CheckpointError, ShapeError
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import Box, Card, make_shape
from fortyninety.fit.weights import Weights, computed_weights
from fortyninety.model.reader import known_weights

DOCUMENT = ROOT / "docs" / "fit.md"
BEGIN, END = "<!-- table of models: begin -->\n", "<!-- table of models: end -->\n"

# The first that serves it is taken, and the first KV cache of each.
RELEASES = ("0.8.5.post1", "0.32.0")
CACHES = ("fp8", "fp8_e5m2", "auto")
COUNTS = (1, 2, 4, 8)
NOT_SHOWN = ("PRO 6000",)


@dataclass(frozen=True)
class Checkpoint:
    """A repository, its config.json, and the bytes that its index says where that is public."""

    repository: str
    config: dict[str, Any] | None
    bytes: int | None

    def weights(self) -> Weights:
        """Its tensors. Raises CheckpointError."""
        if self.config is None:
            known = known_weights(self.repository)
            assert known is not None, f"checkpoints/ has no {self.repository}"
            return known
        return computed_weights(read_architecture(self.config))


def checkpoints() -> list[Checkpoint]:
    """Every checkpoint of the record beside this file."""
    record = json.loads(Path(__file__).with_suffix(".json").read_text())
    return [
        Checkpoint(each["repository"], each.get("config"), each.get("bytes"))
        for each in record["models"]
    ]


def answers(weights: Weights, card: Card, count: int) -> Iterator[Fit]:
    """The answer of each release with each KV cache, for so many cards in one box."""
    length = min(16384, weights.architecture.positions)
    flags = Flags(
        max_model_len=length,
        max_num_seqs=4,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.94,
    )
    for release in RELEASES:
        for cache in CACHES:
            asked = replace(flags, kv_cache_dtype=cache)
            yield estimate(weights, make_shape([Box((card,) * count)]), release, asked)


def cell(weights: Weights, card: Card) -> str:
    """The fewest cards that serve it, and how many tokens of KV cache they then have."""
    for count in COUNTS:
        try:
            fit = next((each for each in answers(weights, card, count) if each.fits), None)
        except ShapeError:
            # Cut apart by this many, and so by more.
            return "split"
        if fit is not None:
            later = "" if fit.engine.release == RELEASES[0] else "*"
            return f"{count}{later} ({fit.kv_tokens // 1000}k)"
    return "-"


def table() -> str:
    """The table as docs/fit.md has it."""
    cards = [card for card in known_cards() if card.name not in NOT_SHOWN]
    first: list[str] = []
    columns: list[list[str]] = [[] for _ in cards]
    refused = []
    for checkpoint in checkpoints():
        try:
            weights = checkpoint.weights()
        except CheckpointError as error:
            why = str(error).partition(" has ")[2].partition(",")[0]
            refused.append(f"`{checkpoint.repository}` ({why})")
            continue
        first.append(f"`{checkpoint.repository}` | {weights.total / 1e9:.1f}")
        for column, card in zip(columns, cards, strict=True):
            column.append(cell(weights, card.card()))
    # Cards that differ in nothing that is computed are one column.
    names: dict[tuple[str, ...], list[str]] = {}
    for column, card in zip(columns, cards, strict=True):
        names.setdefault(tuple(column), []).append(card.name)
    rows = [" | ".join(cells) for cells in zip(first, *names, strict=True)]
    heads = " | ".join(", ".join(same) for same in names.values())
    lines = [f"| | GB | {heads} |", "|---|---|" + "---|" * len(names)]
    lines += [f"| {row} |" for row in rows]
    return "\n".join([*lines, "", f"Not computed, and so refused: {', '.join(refused)}.", ""])


def with_table(text: str) -> str:
    """The document with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
