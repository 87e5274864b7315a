"""How much of a checkpoint is read for a token."""

from __future__ import annotations

import pytest

from fortyninety.fit.speed import bytes_per_token
from tests.unit.fit.public_checkpoints import checkpoints

BY_NAME = {each.repository: each for each in checkpoints()}


@pytest.mark.parametrize(
    ("repository", "gigabytes"),
    [
        # The 70B as in docs/fit.md: all but the embedding.
        ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", 37.67),
        # 3.3 thousand million of its parameters compute a token, as its authors say, less the
        # embedding; 12.9 of Mixtral's.
        ("Qwen/Qwen3-30B-A3B", 6.1),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", 25.5),
        # The output head is the embedding.
        ("google/gemma-3-1b-it", 2.0),
    ],
)
def test_what_is_read_for_a_token(repository: str, gigabytes: float) -> None:
    read = bytes_per_token(BY_NAME[repository].weights())
    assert read / 1e9 == pytest.approx(gigabytes, rel=0.02)
