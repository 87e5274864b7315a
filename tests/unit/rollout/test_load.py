"""Verdicts on boxes under load, and how many the load needs."""

from __future__ import annotations

import pytest

from fortyninety.rollout.capacity import Load, floor_of
from fortyninety.rollout.soak import Measured, total, verdict

NONE = Measured()
# 20 ms between two tokens.
OTHERS = Measured(requests=200, failed=0, gaps=10_000, gap_seconds=200.0)


def at(milliseconds: float, *, requests: int = 100, failed: int = 0, gaps: int = 5000) -> Measured:
    return Measured(requests, failed, gaps, gaps * milliseconds / 1000)


@pytest.mark.parametrize(
    ("changed", "others", "earlier", "passed"),
    [
        (at(20), OTHERS, NONE, True),
        (at(29), OTHERS, NONE, True),
        (at(40), OTHERS, NONE, False),  # Twice as slow.
        (at(40), NONE, at(20), False),  # As compared with itself.
        (at(40), at(40), at(20), True),  # All are slow meanwhile.
        (at(40), NONE, NONE, True),
        (at(40, gaps=900), OTHERS, NONE, True),  # Too few tokens.
        (at(20, failed=1), OTHERS, NONE, True),
        (at(20, failed=2), OTHERS, NONE, False),
        (at(20, requests=3, failed=1), OTHERS, NONE, False),
        (at(20, failed=10), at(20, failed=10), NONE, True),  # As many fail elsewhere.
        (NONE, OTHERS, NONE, True),
    ],
)
def test_a_box_is_judged_by_the_others(
    changed: Measured, others: Measured, earlier: Measured, passed: bool
) -> None:
    assert verdict(changed, others, earlier).passed is passed


def test_a_verdict_says_what_was_compared() -> None:
    assert verdict(at(40), OTHERS, NONE).said == (
        "100 requests, 0 failed, 40 ms a token, others 20 ms"
    )


def test_counters_that_began_anew_are_taken_whole() -> None:
    assert at(20).since(at(20, gaps=4000, requests=60)) == Measured(40, 0, 1000, 20.0)
    assert at(20, requests=5, gaps=200).since(at(20)) == at(20, requests=5, gaps=200)
    assert total([at(20), at(20)]).requests == 200


@pytest.mark.parametrize(
    ("loads", "floor"),
    [
        ([], 0),
        ([Load(0, 64)] * 4, 0),
        ([Load(57, 64)] + [Load(0, 64)] * 3, 1),
        ([Load(30, 64)] * 4, 3),
        ([Load(64, 64)] * 4, None),
        ([Load(1, 64, kv_used=0.5, kv_tokens=40_000)] * 4, 3),
        # Whichever go on serving: the large one may be the one that is changed.
        ([Load(20, 100), Load(0, 10), Load(0, 10)], 3),
    ],
)
def test_the_fewest_boxes_that_carry_the_load(loads: list[Load], floor: int | None) -> None:
    assert floor_of(loads) == floor
