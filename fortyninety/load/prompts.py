"""Make prompts of a fixed length that no prefix cache has seen."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator

from fortyninety.engine.bounded_http import Unanswered
from fortyninety.load.target import Target
from fortyninety.load.timed_request import complete

# Numbers of ordinary tokens: no special ones of Llama (from 128,000 on), Mistral (below 1,000) or
# Qwen (from 151,643 on); the second for vocabularies of some hundred tokens.
_RANGES = (range(1_000, 30_000), range(20, 400))
# Characters of a word of a chat.
_WORD = 6


def known_tokens(target: Target, model: str) -> range:
    """Tokens that the model has, found by asking it for one token. Raises Unanswered."""
    for tokens in _RANGES[:-1]:
        try:
            with target.open() as stream:
                complete(stream, target, model, [tokens[-1]], 1)
        except Unanswered:
            # Refused in one of several ways; an engine that answers nothing is found out below.
            continue
        return tokens
    return _RANGES[-1]


def prompts(tokens: range, length: int, source: random.Random) -> Iterator[list[int]]:
    """Prompts of `length` tokens without end, each from its first token on unlike the others."""
    while True:
        yield source.choices(tokens, k=length)


def words(count: int, source: random.Random) -> str:
    """A text of so many random words."""
    return " ".join("".join(source.choices(string.ascii_lowercase, k=_WORD)) for _ in range(count))
