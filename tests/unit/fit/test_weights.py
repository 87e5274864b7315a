"""What a checkpoint weighs, and what of it lies on which card."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.fit.allocator import MIB, allocated
from fortyninety.fit.architecture import Architecture, read_architecture
from fortyninety.fit.errors import CheckpointError, ShapeError
from fortyninety.fit.estimate import kv_bytes_per_token
from fortyninety.fit.shape import stage_layers
from fortyninety.fit.weights import Weights, computed_weights, read_weights
from fortyninety.model.reader import known_repositories, known_weights
from tests.unit.measured_fits import CONFIGURATIONS

AWQ_70B = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"


def architecture(name: str, **changes: Any) -> Architecture:
    return read_architecture({**CONFIGURATIONS[name], **changes})


def weights_70b() -> Weights:
    found = known_weights(AWQ_70B)
    assert found is not None
    return found


def whole(weights: Weights, tensor_parallel: int = 1) -> int:
    layers = range(weights.architecture.layers)
    return weights.on_card(layers, first=True, last=True, tensor_parallel=tensor_parallel)


def test_the_70b_comes_to_the_sum_of_its_published_shards() -> None:
    weights = weights_70b()
    assert weights.by_part == {
        "qweight": 34_225_520_640,
        "embed_tokens": 2_101_346_304,
        "lm_head": 2_101_346_304,
        "scales": 1_069_547_520,
        "qzeros": 267_386_880,
        "norms": 2_637_824,
    }
    assert weights.total == 39_767_785_472


def test_the_2_bit_70b_comes_to_what_its_repository_shows() -> None:
    (name,) = (each for each in known_repositories() if "AQLM" in each)
    weights = known_weights(name)
    assert weights is not None
    assert weights.total / 1e9 == pytest.approx(21.92, abs=0.005)
    assert weights.architecture.method == "aqlm 2-bit"


def test_a_record_is_not_taken_for_another_revision() -> None:
    assert known_weights(AWQ_70B, "0" * 40) is None


def test_two_cards_hold_half_each_but_for_what_every_card_needs() -> None:
    weights = weights_70b()
    half = whole(weights, 2) - whole(weights) / 2
    # The norms, and the rotary table of 32 MiB, are on both.
    assert half == pytest.approx((2_637_824 + 32 * MIB) / 2, rel=0.05)


def test_key_value_heads_are_repeated_where_there_are_more_cards_than_heads() -> None:
    shape = architecture("llama-3.1-8b")
    weights = computed_weights(shape)
    names = [
        each for each in weights.tensors if each.name.endswith("layers.0.self_attn.k_proj.weight")
    ]
    assert len(names) == 1
    per_card = {cards: weights._share(names[0], cards) for cards in (8, 16, 32)}
    assert per_card == dict.fromkeys((8, 16, 32), names[0].size // 8)
    assert kv_bytes_per_token(shape, 32, 16, "auto") == kv_bytes_per_token(shape, 32, 8, "auto")


def test_a_vocabulary_is_padded_to_whole_rows_on_every_card() -> None:
    weights = computed_weights(architecture("llama-3.1-8b", vocab_size=32001))
    table = weights.tensors[0]
    assert weights._share(table, 1) == 32064 * 4096 * 2
    assert weights._share(table, 2) == 16032 * 4096 * 2


def test_the_embedding_is_on_the_first_stage_and_the_head_on_the_last() -> None:
    weights = computed_weights(architecture("llama-3.1-8b"))
    middle = weights.on_card(range(8, 16), first=False, last=False, tensor_parallel=1)
    first = weights.on_card(range(8, 16), first=True, last=False, tensor_parallel=1)
    last = weights.on_card(range(8, 16), first=False, last=True, tensor_parallel=1)
    table = 128256 * 4096 * 2
    assert first - middle == table
    assert last - middle == table + 4096 * 2


def test_a_tied_embedding_is_on_the_last_stage_as_well() -> None:
    weights = computed_weights(architecture("llama-3.2-1b"))
    parts = [
        weights.on_card(range(8), first=first, last=last, tensor_parallel=1)
        for first, last in ((True, False), (False, True), (False, False))
    ]
    table = allocated(128256 * 2048 * 2)
    assert (parts[0] - parts[2], parts[1] - parts[2]) == (table, table + 2048 * 2)
    # And once where one card is both.
    assert sum(each.place == "embedding" for each in weights.tensors) == 1
    assert not any(each.place == "head" for each in weights.tensors)


@pytest.mark.parametrize(
    ("layers", "stages", "counts"),
    [
        (80, 2, [40, 40]),
        # Two left over: to the last but one, and the one before it.
        (80, 3, [27, 27, 26]),
        (61, 4, [15, 15, 16, 15]),
        (62, 4, [15, 16, 16, 15]),
        (7, 2, [4, 3]),
    ],
)
def test_layers_that_are_left_over_go_where_the_engine_puts_them(
    layers: int, stages: int, counts: list[int]
) -> None:
    ranges = stage_layers(layers, stages)
    assert [len(each) for each in ranges] == counts
    assert [layer for each in ranges for layer in each] == list(range(layers))


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(ShapeError, match="2 layers cannot be split into 3 stages"):
        stage_layers(2, 3)


def test_gptq_keeps_no_zero_points_and_no_order_once_it_is_loaded() -> None:
    weights = computed_weights(architecture("llama-2-13b-gptq"))
    dropped = sum(each.size for each in weights.tensors if not each.kept)
    assert dropped == weights.by_part["qzeros"] + weights.by_part["g_idx"]


def test_headers_and_config_agree_on_every_tensor() -> None:
    for name in CONFIGURATIONS:
        shape = architecture(name)
        computed = computed_weights(shape)
        read = read_weights(shape, ((each.name, each.size) for each in computed.tensors))
        assert [(t.name, t.size, t.place, t.split, t.kept) for t in read.tensors] == [
            (t.name, t.size, t.place, t.split, t.kept) for t in computed.tensors
        ], name
        for cards in (1, 2):
            assert whole(read, cards) == pytest.approx(whole(computed, cards), rel=1e-3), name


def test_a_split_that_heads_do_not_allow_is_refused() -> None:
    with pytest.raises(ShapeError, match="40 attention heads cannot be split over 3 cards"):
        whole(computed_weights(architecture("qwen2.5-14b")), 3)


def test_a_tensor_keeps_what_is_left_of_its_segment() -> None:
    # Source: PyTorch's caching allocator; 135 MiB is the 14B's down_proj, which counts for 136.
    assert allocated(135 * MIB) == 136 * MIB
    assert allocated(13 * MIB - MIB // 2) == 13 * MIB - MIB // 2
    assert allocated(32) == 512


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"architectures": ["FalconForCausalLM"]}, "expected one of LlamaForCausalLM"),
        ({"architectures": ["DeepseekV2ForCausalLM"]}, "has a latent KV cache (MLA)"),
        ({"architectures": None}, "architectures is None"),
        ({"hidden_size": 0}, "hidden_size is 0; expected a whole number from 1 to"),
        ({"num_hidden_layers": None}, "num_hidden_layers is None"),
        ({"torch_dtype": "int8"}, "torch_dtype is 'int8'"),
        ({"quantization_config": {"quant_method": "exl2"}}, "quant_method is 'exl2'; expected awq"),
        ({"quantization_config": {"quant_method": "awq", "bits": 3}}, "bits is 3; expected 4"),
        (
            {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}}},
            "compressed-tensors with 0 groups",
        ),
    ],
)
def test_a_config_that_nothing_can_be_computed_from_says_what_is_wrong(
    changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        architecture("llama-3.1-8b", **changes)
    assert expected in str(caught.value)
