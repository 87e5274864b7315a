"""The verdict on shapes that people ask about, and what each flag does to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fortyninety.fit.alternatives import alternatives
from fortyninety.fit.engine_memory import engine_memory
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags, captured_sizes
from fortyninety.fit.shape import make_shape, parse_cards
from fortyninety.fit.weights import Weights
from fortyninety.model.reader import known_weights
from fortyninety.model.sizes import known_checkpoints
from fortyninety.settings.profiles import PROFILES

NAME = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"
GIB = 1 << 30


def weights() -> Weights:
    found = known_weights(NAME)
    assert found is not None
    return found


def fit(
    cards: str = "2x24564",
    release: str = "0.8.5.post1",
    flags: Flags | None = None,
    checkpoint: Weights | None = None,
) -> Fit:
    shape = make_shape(parse_cards(cards))
    return estimate(checkpoint or weights(), shape, release, flags or Flags(16384, 4))


def test_the_70b_does_not_fit_one_card_and_the_reason_says_by_what() -> None:
    answer = fit("1x24564")
    assert not answer.fits
    (reason,) = answer.reasons
    assert "a card's budget is 22.4" in reason
    assert "37.10 GiB by weights" in reason
    assert answer.kv_tokens == 0
    assert answer.cards[0].free < 0


def test_the_default_profile_fits_two_cards() -> None:
    answer = fit(flags=Flags(**vars(PROFILES["balanced"])))
    assert answer.fits
    assert answer.concurrency > 2
    assert [use.weights / GIB for use in answer.cards] == pytest.approx([18.58] * 2, abs=0.01)
    assert {use.kv_token for use in answer.cards} == {80 * 1024}


def test_what_a_card_holds_adds_up_to_the_card() -> None:
    for use in fit().cards:
        assert use.weights + use.overhead + use.kv + use.free == use.usable
        assert 0 <= use.kv <= use.available


@pytest.mark.parametrize(
    ("profile", "at_least"),
    [("long-context", 1.2), ("balanced", 2.4), ("burst", 4.9)],
)
def test_every_profile_fits_two_cards(profile: str, at_least: float) -> None:
    # docs/fit.md has this table.
    answer = fit(flags=Flags(**vars(PROFILES[profile])))  # type: ignore[index]
    assert answer.fits, answer.reasons
    assert answer.concurrency >= at_least


def test_long_context_does_not_fit_where_the_old_engine_reads_whole_prompts() -> None:
    whole = replace(PROFILES["long-context"], max_num_batched_tokens=None)
    assert not fit(flags=Flags(**vars(whole))).fits


@pytest.mark.parametrize("profile", ["balanced", "burst"])
def test_whole_prompts_are_refused_where_they_would_end_the_engine(profile: str) -> None:
    whole = replace(PROFILES[profile], max_num_batched_tokens=None)  # type: ignore[index]
    (reason,) = fit(flags=Flags(**vars(whole))).reasons
    assert reason.startswith("the engine would start, and end with CUDA out of memory")


def test_whole_prompts_fit_where_the_cards_leave_room_for_them() -> None:
    whole = Flags(8192, 8, gpu_memory_utilization=0.94)
    assert fit(flags=whole).fits
    assert "gpu_memory_utilization 0.94 instead of 0.95" in changes(fit(flags=Flags(8192, 8)))


def test_the_old_engine_sets_memory_aside_for_whole_prompts_and_the_new_one_does_not() -> None:
    assert fit().batched_tokens == 16384
    assert fit(flags=Flags(40000, 1)).batched_tokens == 2048
    assert fit(release="0.32.0").batched_tokens == 2048
    assert fit(flags=Flags(16384, 4, kv_cache_dtype="auto")).batched_tokens == 2048


def test_sixteen_bits_of_kv_hold_half_the_tokens() -> None:
    fp8, auto = fit(release="0.32.0"), fit(release="0.32.0", flags=Flags(4096, 4, "auto"))
    assert auto.kv_tokens == pytest.approx(fp8.kv_tokens / 2, abs=16)


def test_a_later_start_has_more_than_the_first_which_compiles() -> None:
    flags = Flags(16384, 4)
    first, later, eager = (
        fit("1x24564,1x24564", "0.32.0", replace(flags, **changes))
        for changes in ({}, {"compiled_before": True}, {"enforce_eager": True})
    )
    assert first.kv_tokens < later.kv_tokens <= eager.kv_tokens
    # With the embedding split between cards there is no such moment.
    split = [
        fit("4x24564", "0.32.0", replace(flags, compiled_before=before)).kv_tokens
        for before in (False, True)
    ]
    assert split[0] == split[1]


def test_the_poorest_stage_decides_for_a_cell() -> None:
    answer = fit("1x24564,1x24564", "0.32.0", Flags(8192, 4, gpu_memory_utilization=0.93))
    assert answer.fits
    poorest = min(answer.cards, key=lambda use: use.available)
    assert answer.kv_tokens == poorest.available // (poorest.kv_token * 16) * 16
    # The first tries its kernels on a second embedding, the last holds the logits.
    assert poorest.stage == 0


def test_uneven_stages_have_uneven_weights_and_kv_bytes() -> None:
    answer = fit("1x24564,1x24564,1x24564", "0.32.0")
    assert [len(use.layers) for use in answer.cards] == [27, 27, 26]
    assert [use.kv_token // 1024 for use in answer.cards] == [54, 54, 52]


def test_a_release_that_cannot_span_boxes_says_so() -> None:
    answer = fit("1x24564,1x24564")
    assert "serves no model over several boxes" in answer.reasons[0]


def test_a_method_that_a_release_has_dropped_is_a_reason() -> None:
    aqlm = dict(known_checkpoints())["ISTA-DASLab/Meta-Llama-3.1-70B-Instruct-AQLM-PV-2Bit-1x16"]
    flags = Flags(4096, 1, max_num_batched_tokens=512)
    assert "has no aqlm" in fit("1x24564", "0.32.0", flags, aqlm).reasons[0]
    assert fit("1x24564", "0.8.5.post1", flags, aqlm).fits


def test_a_share_that_leaves_no_room_for_the_context_is_refused_with_the_most_there_can_be() -> (
    None
):
    (reason,) = fit(flags=Flags(4096, 4, gpu_memory_utilization=0.99)).reasons
    assert reason.endswith("at most 0.95")
    assert fit(flags=Flags(4096, 4, gpu_memory_utilization=0.95)).fits


def test_a_cache_shorter_than_one_sequence_is_refused() -> None:
    (reason,) = fit(release="0.32.0", flags=Flags(65536, 1)).reasons
    assert "one sequence of max_model_len takes 65536" in reason


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (Flags(0, 1), "max_model_len is 0"),
        (Flags(200_000, 1), "expected at most the checkpoint's 131072 positions"),
        (Flags(4096, 0), "max_num_seqs is 0"),
        (Flags(4096, 4, "fp4"), "kv_cache_dtype is 'fp4'"),
        (Flags(4096, 4, gpu_memory_utilization=0), "gpu_memory_utilization is 0"),
        (Flags(4096, 4, gpu_memory_utilization=1.5), "gpu_memory_utilization is 1.5"),
        (Flags(4096, 64, max_num_batched_tokens=32), "expected at least max_num_seqs, 64"),
    ],
)
def test_flags_that_no_engine_takes_are_refused(flags: Flags, expected: str) -> None:
    with pytest.raises(FitError) as caught:
        fit(flags=flags)
    assert expected in str(caught.value)


def test_a_release_that_was_never_started_is_warned_of_and_left_more_room() -> None:
    flags = Flags(16384, 1, gpu_memory_utilization=0.945)
    assert fit("2x24564", "0.32.0", flags).fits
    assert not fit("2x24564", "0.33.0", flags).fits
    answer = fit("2x24564", "0.33.0", replace(flags, gpu_memory_utilization=0.94))
    assert answer.fits
    assert any("0.33.0 was never compared" in warning for warning in answer.warnings)
    assert not any("never compared" in warning for warning in fit().warnings)


@pytest.mark.parametrize("release", ["newest", "0.5.4", ""])
def test_a_release_whose_counting_is_not_known_is_refused(release: str) -> None:
    with pytest.raises(FitError, match=r"expected a vLLM release of 0\.6 or later"):
        engine_memory(release, kv_cache_dtype="fp8", max_model_len=4096)


def test_graphs_are_captured_for_as_many_sizes_as_the_engine_logged() -> None:
    # "19/19" at 64 sequences and "51/51" at 256 in docs/measured/.
    new = engine_memory("0.24.0", kv_cache_dtype="auto", max_model_len=4096)
    sizes = {n: captured_sizes(new, Flags(4096, n)) for n in (4, 64, 256, 1024)}
    assert sizes == {4: 4, 64: 19, 256: 51, 1024: 51}


def changes(answer: Fit) -> list[str]:
    return [each.change for each in alternatives(answer, known_checkpoints())]


def test_where_one_card_is_too_small_the_nearest_shapes_are_named_and_all_of_them_fit() -> None:
    found = alternatives(fit("1x24564"), known_checkpoints())
    card, box, bits = (each.change for each in found)
    assert card.startswith("one box with 2 such cards, tensor_parallel_size 2")
    assert box.startswith(
        "2 boxes with one such card each, pipeline_parallel_size 2, engine 0.32.0"
    )
    assert box.endswith("gpu_memory_utilization 0.93")
    assert "AQLM" in bits
    assert "engine 0.8.5.post1" in bits
    assert all(each.fit.fits and each.price for each in found)
    assert not any("offload" in each.change for each in found)


def test_the_smallest_change_comes_first() -> None:
    found = changes(fit(flags=Flags(32768, 1)))
    assert found[0] == "max_num_batched_tokens 2048 instead of 32768"
    assert found[1].startswith("max_model_len 6144 instead of 32768")
    assert found[2].startswith("one box with 4 such cards")


def test_eight_bits_of_kv_are_offered_where_sixteen_do_not_fit() -> None:
    flags = Flags(32768, 1, "auto", gpu_memory_utilization=0.94)
    answer = fit(release="0.32.0", flags=flags)
    assert "kv_cache_dtype fp8 instead of 16 bits" in changes(answer)


def test_there_are_no_alternatives_to_what_fits_and_holds_all() -> None:
    assert alternatives(fit(flags=Flags(**vars(PROFILES["long-context"])))) == ()


def test_what_fits_and_holds_less_than_may_run_is_told_how_to_hold_more() -> None:
    flags = Flags(16384, 4, "auto", gpu_memory_utilization=0.94, max_num_batched_tokens=4096)
    answer = fit(release="0.32.0", flags=flags)
    assert answer.fits
    assert answer.concurrency < 4
    found = alternatives(answer)
    assert [each.change for each in found][:3] == [
        "max_num_batched_tokens 2048 instead of 4096",
        "kv_cache_dtype fp8 instead of 16 bits",
        "max_model_len 4096 instead of 16384",
    ]
    assert found[2].fit.concurrency >= 4
    assert found[3].change.startswith("one box with 4 such cards")
    assert all(each.fit.fits and each.fit.concurrency > answer.concurrency for each in found)


def test_a_first_start_is_told_what_later_ones_hold() -> None:
    flags = Flags(16384, 4, gpu_memory_utilization=0.93, max_num_batched_tokens=2048)
    first = fit("1x24564,1x24564", "0.32.0", flags)
    (later, *_) = alternatives(first)
    assert later.change == "the second start and every later one"
    assert first.kv_tokens == 16_864
    assert later.fit.kv_tokens == 35_744
    # On two cards no start has a copy of the embedding.
    changes_there = changes(fit("2x24564", "0.32.0", flags))
    assert not any("start" in each for each in changes_there)


def test_a_larger_share_of_the_cards_is_told_up_to_what_long_prompts_need() -> None:
    answer = fit(flags=Flags(16384, 4, gpu_memory_utilization=0.9, max_num_batched_tokens=2048))
    (more, *_) = alternatives(answer)
    assert more.change == "gpu_memory_utilization 0.95 instead of 0.9"
    assert more.fit.flags.gpu_memory_utilization <= more.fit.cards[0].most_utilization


def test_smaller_weights_of_the_same_shape_are_offered_and_no_other_model() -> None:
    eight = known_weights("meta-llama/Llama-3.1-8B-Instruct")
    found = changes(fit("1x16376", checkpoint=eight))
    assert "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4 (awq 4-bit)" in found[-1]
    # Mistral Nemo has as many layers, of the same width, with the same vocabulary.
    small = known_weights("stelterlab/Mistral-Small-24B-Instruct-2501-AWQ")
    assert not any("nemo" in each for each in changes(fit("1x12288", checkpoint=small)))
