"""Layers that look back only so far: which they are, and the KV cache that each release gives."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.cards.known import cards_by_name
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.estimate import Fit, estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.kv_layout import KvLayout, full_layout, grouped_layout
from fortyninety.fit.shape import make_shape, parse_cards
from fortyninety.fit.weights import computed_weights
from fortyninety.fit.windows import read_windows
from tests.unit.fit.public_checkpoints import checkpoints

CONFIGS = {each.repository: each.config for each in checkpoints() if each.config is not None}
GEMMA_2 = CONFIGS["google/gemma-2-9b-it"]
GPT_OSS = CONFIGS["openai/gpt-oss-20b"]
MISTRAL = CONFIGS["mistralai/Mistral-7B-v0.1"]


def fit(config: dict[str, Any], release: str, cards: str = "1x6000 Ada", **flags: Any) -> Fit:
    values = {"max_model_len": 8192, "max_num_seqs": 4, "max_num_batched_tokens": 2048} | flags
    shape = make_shape(parse_cards(cards, cards_by_name()))
    return estimate(computed_weights(read_architecture(config)), shape, release, Flags(**values))


@pytest.mark.parametrize(
    ("name", "config", "windows"),
    [
        ("Gemma2ForCausalLM", {"sliding_window": 4096}, (4096, None, 4096, None, 4096, None)),
        (
            "Gemma3ForCausalLM",
            {"sliding_window": 512, "sliding_window_pattern": 3},
            (512, 512, None, 512, 512, None),
        ),
        ("GptOssForCausalLM", {"sliding_window": 128}, (128, None, 128, None, 128, None)),
        ("MistralForCausalLM", {"sliding_window": 4096}, (4096,) * 6),
        ("MistralForCausalLM", {"sliding_window": None}, (None,) * 6),
        (
            "Qwen2ForCausalLM",
            {"sliding_window": 32768, "use_sliding_window": False},
            (None,) * 6,
        ),
        (
            "Gemma3ForCausalLM",
            {
                "sliding_window": 512,
                "layer_types": ["full_attention"] * 5 + ["sliding_attention"],
            },
            (None,) * 5 + (512,),
        ),
    ],
)
def test_which_layers_have_a_window(
    name: str, config: dict[str, Any], windows: tuple[int | None, ...]
) -> None:
    assert read_windows(config, name, 6) == windows


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sliding_window": -1}, "sliding_window is -1"),
        ({"sliding_window": 8, "layer_types": ["full_attention"]}, "layer_types is"),
        ({"sliding_window": 8, "layer_types": ["linear"] * 6}, "layer_types is"),
        ({"sliding_window": 8, "use_sliding_window": True}, "use_sliding_window is True"),
        ({"sliding_window": 8, "sliding_window_pattern": 0}, "sliding_window_pattern is 0"),
    ],
)
def test_windows_that_are_none_are_refused(config: dict[str, Any], expected: str) -> None:
    with pytest.raises(CheckpointError, match=expected):
        read_windows(config, "Gemma3ForCausalLM", 6)


def test_layers_of_one_kind_are_grouped_as_the_smallest_kind_is() -> None:
    windows = (512, 512, 512, 512, 512, None) * 4 + (512, 512)
    layout = grouped_layout(windows)
    assert [len(layers) for layers, _ in layout.groups] == [4, 4, 4, 4, 3, 3, 4]
    assert [window for _, window in layout.groups] == [512] * 6 + [None]
    assert layout.layers_on(range(26)) == 4
    # Of a stage a block has what the group with the most has there.
    assert layout.layers_on(range(13)) == 2


def test_kinds_of_nearly_one_size_make_two_groups() -> None:
    layout = grouped_layout((128,) * 12 + (None,) * 13)
    assert [len(layers) for layers, _ in layout.groups] == [12, 13]


def test_a_sequence_takes_blocks_of_every_group_and_of_a_window_no_more_than_it_shows() -> None:
    layout = KvLayout((((0,), 4096), ((1,), None)))
    in_flight = 4096
    assert layout.blocks(16384, in_flight, 16) == (4095 + 4096 + 15) // 16 + 1 + 1024
    # Shorter than the window: a block more, which the window's beginning may lie in.
    assert layout.blocks(1024, in_flight, 16) == 64 + 1 + 64
    assert full_layout(2).blocks(1025, in_flight, 16) == 65


def test_a_later_release_holds_more_of_a_model_with_windows_than_an_older_one() -> None:
    older = fit(GEMMA_2, "0.8.5.post1", kv_cache_dtype="auto")
    later = fit(GEMMA_2, "0.32.0", kv_cache_dtype="auto")
    assert older.cards[0].kv_token == 42 * 2 * 8 * 256 * 2
    assert older.kv_tokens == older.cards[0].available // (older.cards[0].kv_token * 16) * 16
    # Two groups of 21 layers: 8192 tokens of one, and 8191 at most of the other.
    block = 16 * 21 * 2 * 8 * 256 * 2
    assert later.cards[0].kv_block == block
    one = 512 + (min(4095 + 2 * 2048, 8192) + 15) // 16 + 1
    blocks = later.cards[0].available // block
    assert later.kv_tokens == int(blocks / one * 8192)
    assert later.cards[0].kv == blocks * block


def test_a_window_far_below_the_context_makes_the_cache_go_twice_as_far() -> None:
    answer = fit(GPT_OSS, "0.32.0", max_model_len=131072)
    whole = 24 * 2 * 8 * 64
    assert 0.5 * whole < answer.cards[0].kv_token < 0.55 * whole


@pytest.mark.parametrize(
    ("config", "release", "flags", "reason"),
    [
        (GEMMA_2, "0.6.3.post1", {"kv_cache_dtype": "auto"}, "up to the window alone: 4096"),
        (GEMMA_2, "0.6.3.post1", {"kv_cache_dtype": "auto", "max_model_len": 4096}, None),
        (GEMMA_2, "0.6.3.post1", {"max_model_len": 4096}, "does not cap the attention of Gemma2"),
        (GEMMA_2, "0.8.5.post1", {"max_model_len": 4096}, None),
        (GEMMA_2, "0.8.5.post1", {}, "with kv_cache_dtype fp8; with auto, to the end"),
        (GEMMA_2, "0.8.5.post1", {"kv_cache_dtype": "auto"}, None),
        (GEMMA_2, "0.32.0", {}, None),
        (MISTRAL, "0.8.5.post1", {}, "set enable_prefix_caching = False"),
        (MISTRAL, "0.8.5.post1", {"prefix_caching": False}, None),
        (MISTRAL, "0.8.5.post1", {"kv_cache_dtype": "auto"}, None),
        (MISTRAL, "0.32.0", {}, None),
    ],
)
def test_what_an_older_engine_does_not_do_with_a_window(
    config: dict[str, Any], release: str, flags: dict[str, Any], reason: str | None
) -> None:
    missing = fit(config, release, **flags).missing
    if reason is None:
        assert missing == ()
    else:
        assert reason in missing[0]


def test_an_older_engine_that_leaves_the_cap_of_attention_out_is_warned_of() -> None:
    warned = fit(GEMMA_2, "0.8.5.post1", max_model_len=4096)
    assert any("answers are slightly off" in each for each in warned.warnings)
    for release, cache in (("0.8.5.post1", "auto"), ("0.32.0", "fp8")):
        answer = fit(GEMMA_2, release, max_model_len=4096, kv_cache_dtype=cache)
        assert answer.fits
        assert not any("slightly off" in each for each in answer.warnings)
