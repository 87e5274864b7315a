"""Talk in turns, each with all that was said before: what a prefix cache is for."""

from __future__ import annotations

import random
from dataclasses import dataclass

from fortyninety.engine.metrics import Metrics, grown
from fortyninety.load.batch import Load, hit_share
from fortyninety.load.prompts import words
from fortyninety.load.target import Target
from fortyninety.load.timed_request import Timed, converse

TURNS = 4
# Words whose tokens are counted, to know how many make a prompt of a wanted length.
_COUNTED = 64


@dataclass(frozen=True)
class Turn:
    """A turn: the tokens of all that was said, what the cache had of them, and seconds.

    `hits` is None where the engine does not say it.
    """

    prompt_tokens: int
    tokens: int
    first_token: float
    seconds: float
    hits: float | None


@dataclass(frozen=True)
class Chat:
    """The turns of a conversation, and why not to trust them."""

    turns: tuple[Turn, ...]
    doubts: tuple[str, ...]


def run_chat(target: Target, load: Load, source: random.Random, turns: int = TURNS) -> Chat:
    """Talk with prompts that begin at about `load.prompt_tokens` tokens. Raises Unanswered."""
    said = words(_beginning(target, load, source), source)
    messages = [{"role": "user", "content": said}]
    found: list[Turn] = []
    others = False
    before = target.metrics()
    for _ in range(turns):
        with target.open() as stream:
            answer = converse(stream, target, load.model, messages, load.completion_tokens)
        after = target.metrics()
        found.append(_turn(answer, before, after))
        others = others or _others(answer, before, after)
        messages += [
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": words(8, source)},
        ]
        before = after
    doubt = ("another client was at work: hits may be its own",) if others else ()
    return Chat(tuple(found), doubt)


def _beginning(target: Target, load: Load, source: random.Random) -> int:
    """The words that make about as many tokens as the load wants."""

    def tokens(count: int) -> int:
        with target.open() as stream:
            question = [{"role": "user", "content": words(count, source)}]
            return converse(stream, target, load.model, question, 1).prompt_tokens

    few, more = tokens(1), tokens(1 + _COUNTED)
    each = max((more - few) / _COUNTED, 0.1)
    return max(1, round((load.prompt_tokens - few) / each) + 1)


def _turn(answer: Timed, before: Metrics | None, after: Metrics | None) -> Turn:
    return Turn(
        prompt_tokens=answer.prompt_tokens,
        tokens=answer.tokens,
        first_token=answer.first_token,
        seconds=answer.arrivals[-1] - answer.sent,
        hits=hit_share(before, after),
    )


def _others(answer: Timed, before: Metrics | None, after: Metrics | None) -> bool:
    if before is None or after is None:
        return False
    made = grown(before.generated_tokens, after.generated_tokens)
    return made is not None and made > answer.tokens
