"""Hold what a measurement came to, and give it as plain values: what `--json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fortyninety.load.batch import Batch, Load
from fortyninety.load.chat import Chat

# Digits after the point of seconds and of what is a share.
_DIGITS = 4


@dataclass(frozen=True)
class Capped:
    """The batches under a power cap of so many W a card; None under the one that was there."""

    cap: int | None
    batches: tuple[Batch, ...]


@dataclass(frozen=True)
class Result:
    """What was measured: `where` is the host or the address, `rounds` how often each batch was
    asked; `ceiling` is the most tokens a second that one reader can get of the shape."""

    where: str
    load: Load
    rounds: int
    capped: tuple[Capped, ...]
    chat: Chat | None = None
    ceiling: float | None = None
    doubts: tuple[str, ...] = field(default=())

    @property
    def trusted(self) -> bool:
        """Whether nothing speaks against the figures."""
        of_batches = any(batch.doubts for each in self.capped for batch in each.batches)
        return not (self.doubts or of_batches or (self.chat and self.chat.doubts))


def values(result: Result) -> dict[str, Any]:
    """The result as plain values. Times are seconds, draw is W."""
    return {
        "where": result.where,
        "model": result.load.model,
        "prompt_tokens": result.load.prompt_tokens,
        "completion_tokens": result.load.completion_tokens,
        "rounds": result.rounds,
        "trusted": result.trusted,
        "doubts": list(result.doubts),
        "ceiling_tokens_per_second": _rounded(result.ceiling),
        "batches": [_of_batch(batch, each.cap) for each in result.capped for batch in each.batches],
        "chat": None if result.chat is None else _rounded(asdict(result.chat)),
    }


def _of_batch(batch: Batch, cap: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"batch": batch.size, "power_cap": cap, **asdict(batch.figures)}
    found |= {
        "draw": None if batch.draw is None else asdict(batch.draw),
        "tokens_per_joule": batch.tokens_per_joule,
        "prefix_hits": batch.prefix_hits,
        "doubts": list(batch.doubts),
    }
    rounded: dict[str, Any] = _rounded(found)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
