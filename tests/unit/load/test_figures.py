from __future__ import annotations

import pytest

from fortyninety.load.figures import figures, percentile
from fortyninety.load.timed_request import Timed


def timed(sent: float, *arrivals: float, tokens: int | None = None) -> Timed:
    return Timed(10, tokens or len(arrivals), sent, arrivals, "")


def test_a_batch_is_counted_by_hand() -> None:
    found = figures([timed(0.0, 1.0, 1.5, 2.0), timed(0.0, 2.0, 3.0, 4.0)])
    assert (found.requests, found.prompt_tokens, found.tokens, found.events) == (2, 20, 6, 6)
    assert found.seconds == 4.0
    assert found.tokens_per_second == 1.5
    assert found.per_stream == pytest.approx((2.0 + 1.0) / 2)
    assert found.first_token.p50 == 1.5
    assert found.inter_token is not None
    assert found.inter_token.p50 == 0.75


def test_tokens_are_those_that_the_engine_counted_and_not_the_parts_of_its_answer() -> None:
    found = figures([timed(0.0, 1.0, 2.0, tokens=8)])
    assert (found.tokens, found.events, found.tokens_per_second) == (8, 2, 4.0)
    assert found.per_stream == 7.0


def test_an_answer_of_one_token_has_no_time_between_tokens() -> None:
    found = figures([timed(0.0, 1.0)])
    assert (found.per_stream, found.inter_token) == (None, None)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0], 99, 3.0), ([1.0, 2.0], 50, 1.5), ([4, 1, 3, 2, 5], 95, 4.8), ([1, 2, 3], 100, 3)],
)
def test_percentiles_are_between_values_in_proportion(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == pytest.approx(expected)
