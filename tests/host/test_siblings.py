"""Boxes of the same settings: that each serves what the others do."""

from __future__ import annotations

import pytest

from tests.host.inventory_bridge import Box
from tests.host.live_process import LiveProcess, without_secrets
from tests.host.siblings import compared, words_of


def test_it_serves_as_its_siblings_do(process: LiveProcess, siblings: list[Box]) -> None:
    """What users get depends on the box that they come to: a rollout was left half way."""
    mine = compared(process.main["arguments"])
    found = ((each.name, words) for each in siblings if (words := words_of(each)) is not None)
    name, words = next(found, ("", mine))
    other = compared(words)
    if mine != other:
        here, there = (without_secrets(each).split() for each in (mine, other))
        only = (
            [word for word in here if word not in there],
            [word for word in there if word not in here],
        )
        said = [" ".join(each) or "nothing else" for each in only]
        pytest.fail(
            f"it serves with {said[0]}, and {name}, of the same settings, with {said[1]}; expected "
            "the same. `fortyninety drift` says which is behind; `fortyninety rollout --status`",
            pytrace=False,
        )
