"""What a release has no kernel for on a card is refused before anything is fetched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fortyninety.cards.known import cards_by_name
from fortyninety.fit.alternatives import alternatives
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import make_shape, parse_cards
from fortyninety.fit.weights import computed_weights
from fortyninety.model.reader import known_weights
from fortyninety.settings.defaults import default_setting
from tests.unit.fit.public_checkpoints import checkpoints

FLAGS = Flags(max_model_len=16384, max_num_seqs=4, max_num_batched_tokens=2048)


def fit(cards: str, release: str, kv_cache_dtype: str = "fp8") -> Fit:
    weights = known_weights(default_setting("model_repository"), default_setting("model_revision"))
    assert weights is not None
    shape = make_shape(parse_cards(cards, cards_by_name()))
    return estimate(weights, shape, release, replace(FLAGS, kv_cache_dtype=kv_cache_dtype))


@pytest.mark.parametrize(
    ("cards", "release", "kv_cache_dtype", "reason"),
    [
        ("2x3090", "0.8.5.post1", "fp8", "Take kv_cache_dtype fp8_e5m2"),
        ("2x3090", "0.6.3.post1", "fp8_e4m3", "Take kv_cache_dtype fp8_e5m2"),
        ("2x3090", "0.8.5.post1", "fp8_e5m2", None),
        ("4x3090", "0.8.5.post1", "auto", None),
        ("2xA6000", "0.32.0", "fp8_e5m2", "keeps no fp8_e5m2 KV cache on NVIDIA RTX A6000"),
        ("2xA6000", "0.32.0", "auto", None),
        ("2x5090", "0.8.5.post1", "fp8", "built with a CUDA before 12.8"),
        ("2x5090", "0.6.3.post1", "auto", "built with a CUDA before 12.8"),
        ("2x5090", "0.32.0", "fp8", None),
        ("2x6000 Ada", "0.6.3.post1", "fp8", None),
        ("2x4090", "0.8.5.post1", "fp8", None),
        # Nobody said which card it is.
        ("2x24564", "0.8.5.post1", "fp8", None),
    ],
)
def test_a_kernel_that_a_release_has_not_for_a_card(
    cards: str, release: str, kv_cache_dtype: str, reason: str | None
) -> None:
    answer = fit(cards, release, kv_cache_dtype)
    if reason is None:
        assert answer.missing == ()
    else:
        (missing,) = answer.missing
        assert reason in missing
        assert answer.reasons[0] == missing
        assert not answer.fits


@pytest.mark.parametrize(("release", "served"), [("0.8.5.post1", False), ("0.32.0", True)])
def test_experts_of_fp8_weights_have_no_kernel_on_an_older_card(release: str, served: bool) -> None:
    config = next(
        each.config
        for each in checkpoints()
        if each.repository.endswith("Mixtral-8x7B-Instruct-v0.1")
    )
    assert config is not None
    quantized = {**config, "quantization_config": {"quant_method": "fp8"}}
    weights = computed_weights(read_architecture(quantized))
    for cards, expected in (("4xA6000", served), ("4xL40S", True)):
        shape = make_shape(parse_cards(cards, cards_by_name()))
        answer = estimate(weights, shape, release, replace(FLAGS, kv_cache_dtype="auto"))
        assert (answer.missing == ()) == expected


def test_a_3090_is_told_the_cache_that_it_can_keep() -> None:
    (found, *_) = alternatives(fit("2x3090", "0.8.5.post1"))
    assert found.change == "kv_cache_dtype fp8_e5m2"
    assert found.fit.fits


def test_a_5090_is_told_the_release_that_knows_it() -> None:
    (found, *_) = alternatives(fit("2x5090", "0.8.5.post1"))
    assert found.change.startswith("engine 0.32.0")
    assert found.fit.fits


def test_a_checkpoint_and_a_card_that_both_ask_for_something_else_are_told_it_at_once() -> None:
    weights = next(
        each.weights() for each in checkpoints() if each.repository == "openai/gpt-oss-20b"
    )
    shape = make_shape(parse_cards("1x3090", cards_by_name()))
    (found,) = alternatives(estimate(weights, shape, "0.8.5.post1", FLAGS))
    assert found.change == "engine 0.32.0 (driver 580), kv_cache_dtype auto"
    assert found.fit.fits


def test_cards_of_two_generations_serve_no_model_together() -> None:
    boxes = parse_cards("1x6000 Ada,1xA6000", cards_by_name())
    with pytest.raises(ValueError, match="different generations"):
        make_shape(boxes)
