"""Ask so many at once, and again as soon as each is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from fortyninety.engine.bounded_http import Unanswered
from fortyninety.engine.metrics import Metrics, grown
from fortyninety.load.cards import CardNow, Draw, draw_of
from fortyninety.load.doubts import doubts
from fortyninety.load.figures import Figures, figures
from fortyninety.load.promptness import Promptness
from fortyninety.load.target import Target
from fortyninety.load.timed_request import Timed, complete


class Readings(Protocol):
    """Readings of the cards, taken as long as a block runs."""

    def taken(self) -> list[tuple[CardNow, ...]]:
        """Those so far."""


Watching = Callable[[], AbstractContextManager[Readings | None]]


@dataclass(frozen=True)
class Load:
    """What is put on an engine: the model's name, and the tokens of each prompt and answer."""

    model: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Batch:
    """What came of so many requests at once.

    `prefix_hits` is the share of the prompts' tokens that the prefix cache had; None where the
    engine does not say it, as the cards' draw.
    """

    size: int
    figures: Figures
    draw: Draw | None
    prefix_hits: float | None
    doubts: tuple[str, ...]

    @property
    def tokens_per_joule(self) -> float | None:
        """Tokens for each joule that the cards drew."""
        if self.draw is None or self.draw.watts <= 0:
            return None
        return self.figures.tokens_per_second / self.draw.watts


def run_batch(
    target: Target,
    load: Load,
    size: int,
    rounds: int,
    prompts: Iterator[list[int]],
    *,
    watching: Watching = nullcontext,
) -> Batch:
    """Ask `size` at once, `rounds` times each. Raises Unanswered where one was not answered."""
    before = target.metrics()
    own = [[next(prompts) for _ in range(rounds)] for _ in range(size)]
    with watching() as readings, Promptness() as promptness:
        cpu, began = time.process_time(), time.monotonic()
        answers = _ask_at_once(target, load, own)
        took = time.monotonic() - began
        cpu = time.process_time() - cpu
        taken = [] if readings is None else readings.taken()
    after = target.metrics()
    found, draw = figures(answers), draw_of(taken)
    asked = size * rounds * load.completion_tokens
    return Batch(
        size,
        found,
        draw,
        hit_share(before, after),
        tuple(
            doubts(
                found,
                asked=asked,
                own_core=cpu / took if took > 0 else 0.0,
                late=promptness.latest,
                before=before,
                after=after,
                draw=draw,
            )
        ),
    )


def hit_share(before: Metrics | None, after: Metrics | None) -> float | None:
    """The share of the tokens asked of the prefix cache between the two that it had."""
    if before is None or after is None:
        return None
    asked = grown(before.prefix_queries, after.prefix_queries)
    hits = grown(before.prefix_hits, after.prefix_hits)
    return hits / asked if asked and hits is not None else None


def _ask_at_once(target: Target, load: Load, prompts: list[list[list[int]]]) -> list[Timed]:
    """The answers to each list of prompts, side by side; each begins once all are connected."""
    answers: list[Timed] = []
    errors: list[BaseException] = []
    ready = threading.Barrier(len(prompts))

    def ask(own: list[list[int]]) -> None:
        try:
            left = list(own)
            while left:
                # Kept from one request to the next, as clients do: a new one takes its time.
                with target.open() as stream:
                    if len(left) == len(own):
                        ready.wait()
                    stands = True
                    while left and stands:
                        if errors:
                            return
                        answer = complete(
                            *(stream, target, load.model, left.pop(0)), load.completion_tokens
                        )
                        answers.append(answer)
                        stands = answer.stands
        except threading.BrokenBarrierError:
            return
        except BaseException as error:
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=ask, args=(own,), daemon=True) for own in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    if not answers:
        raise Unanswered("not answering")
    return answers
