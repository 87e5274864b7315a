"""The arithmetic against what vLLM 0.24.0 counted on an H100 and an H200 (docs/measured/)."""

from __future__ import annotations

import pytest

from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.estimate import OUTSIDE_PYTORCH, Flags, estimate
from fortyninety.fit.shape import Box, make_shape
from fortyninety.fit.weights import computed_weights
from tests.unit.measured_fits import CONFIGURATIONS, H200, Case, cases

CASES = cases()
ON_EVERY_CARD = [case for case in CASES if not case.machete]


def test_there_are_enough_cases_for_a_claim() -> None:
    assert len(ON_EVERY_CARD) >= 11
    assert len({case.config["hidden_size"] for case in ON_EVERY_CARD}) >= 5


@pytest.mark.parametrize("case", ON_EVERY_CARD, ids=lambda case: case.name)
def test_predicted_kv_tokens_are_within_two_percent_of_measured(case: Case) -> None:
    predicted = case.fit.kv_tokens
    off = predicted / case.kv_tokens - 1
    assert abs(off) < 0.02, f"{predicted} predicted, {case.kv_tokens} measured: {off:+.1%}"


@pytest.mark.parametrize(
    "case", [case for case in ON_EVERY_CARD if case.counted], ids=lambda case: case.name
)
def test_each_term_is_what_the_engine_counted_and_not_only_their_sum(case: Case) -> None:
    (use,) = case.fit.cards
    assert use.budget == case.counted["requested"]
    assert abs(use.weights / case.counted["weights"] - 1) < 0.006
    assert abs(use.activations - case.counted["activation"]) < 4 << 20
    assert abs(case.counted["non_torch"] - OUTSIDE_PYTORCH) < 16 << 20


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.machete], ids=lambda case: case.name
)
def test_hoppers_own_kernel_keeps_more_than_any_other_card_does(case: Case) -> None:
    # Why those cases are no measure for a 4090: all of the miss is in the weights.
    (use,) = case.fit.cards
    missed = case.counted["weights"] - use.weights
    assert missed > 0.02 * use.weights
    assert abs(use.available - missed - case.counted["available"]) < 8 << 20


def test_one_24_gb_card_is_short_of_what_the_h200_said_it_was() -> None:
    config = {**CONFIGURATIONS["llama-3.1-70b-awq"], "max_position_embeddings": 131072}
    flags = Flags(16384, 4, "fp8", 0.1626, 8192, compiled_before=True)
    weights = computed_weights(read_architecture(config))
    answer = estimate(weights, make_shape([Box((H200,))]), "0.24.0", flags)
    # "Available KV cache memory: -16.3 GiB"
    assert answer.cards[0].available / (1 << 30) == pytest.approx(-16.3, abs=0.06)
    assert not answer.fits
