"""Measure: warm up, then batch after batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace

from fortyninety.load.batch import Batch, Load, Watching, run_batch
from fortyninety.load.prompts import known_tokens, prompts
from fortyninety.load.target import Target

# Tokens of an answer of the warm-up: enough for each size to be compiled.
WARM_UP_TOKENS = 8


@dataclass(frozen=True)
class Batches:
    """Which batches are asked, how often each, and whom to tell which is being asked."""

    sizes: tuple[int, ...]
    rounds: int
    tell: Callable[[str], None]
    most_sequences: int | None = None


class Measuring:
    """The batches of one engine, each with prompts that it has not seen. Raises Unanswered."""

    def __init__(
        self, target: Target, load: Load, batches: Batches, watching: Watching = nullcontext
    ) -> None:
        self._target, self._load, self._batches = target, load, batches
        self._watching = watching
        self._source = random.Random()
        batches.tell("warming up")
        tokens = known_tokens(target, load.model)
        self._prompts = prompts(tokens, load.prompt_tokens, self._source)
        few = min(load.completion_tokens, WARM_UP_TOKENS)
        for size in sorted({1, max(batches.sizes)}):
            run_batch(target, replace(load, completion_tokens=few), size, 1, self._prompts)

    def run(self, said: str = "") -> tuple[Batch, ...]:
        """The batches, one after another."""
        return tuple(self._each(said))

    def _each(self, said: str) -> Iterable[Batch]:
        for size in self._batches.sizes:
            self._batches.tell(f"batch {size}{said}")
            batch = run_batch(
                *(self._target, self._load, size, self._batches.rounds, self._prompts),
                watching=self._watching,
            )
            most = self._batches.most_sequences
            if most is not None and size > most:
                waits = f"{size - most} of {size} wait their turn: max_num_seqs is {most}"
                batch = replace(batch, doubts=(*batch.doubts, waits))
            yield batch
