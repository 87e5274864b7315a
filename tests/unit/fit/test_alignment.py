"""Whether tensor parallelism would cut groups of quantized weights apart."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.fit.alignment import misaligned
from fortyninety.fit.architecture import Architecture, read_architecture
from fortyninety.fit.errors import ShapeError
from fortyninety.fit.weights import computed_weights

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
AQLM = {
    "quant_method": "aqlm",
    "nbits_per_codebook": 16,
    "num_codebooks": 1,
    "in_group_size": 8,
    "out_group_size": 1,
}


def qwen_72b(quantization: dict[str, Any] | None, **changes: Any) -> Architecture:
    """Qwen2.5-72B-Instruct-AWQ by its config.json, whose MLP is no multiple of 2 x 128."""
    return read_architecture(
        {
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_size": 8192,
            "intermediate_size": 29568,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "vocab_size": 152064,
            "max_position_embeddings": 32768,
            "quantization_config": quantization,
            **changes,
        }
    )


def test_groups_that_two_cards_would_share_are_refused_with_the_matrix_and_the_numbers() -> None:
    weights = computed_weights(qwen_72b(AWQ))
    every = range(80)
    assert weights.on_card(every, first=True, last=True, tensor_parallel=1) > 0
    with pytest.raises(ShapeError) as refused:
        weights.on_card(every, first=True, last=True, tensor_parallel=2)
    assert str(refused.value) == (
        "down_proj has 29568 inputs, 14784 on each of 2 cards, which is no multiple of the 128 "
        "that this checkpoint quantizes together: the engine refuses it. Split it by layers "
        "over boxes (a cell), or take another checkpoint"
    )


@pytest.mark.parametrize(
    ("quantization", "changes", "cards", "says"),
    [
        # 231 groups of 128: three cards have 77 each, and no other number of cards divides them.
        (AWQ, {}, 8, "down_proj has 29568 inputs, 3696 on each of 8 cards"),
        (AWQ, {"num_attention_heads": 96, "num_key_value_heads": 3, "head_dim": 128}, 3, None),
        # As its publisher padded it later for GPTQ.
        (AWQ, {"intermediate_size": 29696}, 2, None),
        (AWQ, {"intermediate_size": 29696}, 8, None),
        (AWQ | {"modules_to_not_convert": ["down_proj"]}, {}, 2, None),
        # Left out of the first layer alone, the others have it.
        (
            AWQ | {"modules_to_not_convert": ["model.layers.0.mlp.down_proj"]},
            {},
            2,
            "down_proj has 29568 inputs",
        ),
        (AWQ | {"group_size": 64}, {}, 2, None),
        # Packed by 8 along the outputs.
        (
            AWQ,
            {"intermediate_size": 512, "head_dim": 4, "num_key_value_heads": 2},
            2,
            "k_proj has 8 ",
        ),
        (GPTQ, {}, 2, "the engine computes with wrong scales"),
        (GPTQ | {"group_size": -1}, {}, 2, None),
        (FP8, {}, 2, "gate_proj has 29568 outputs, 14784 on each of 2 cards"),
        (FP8, {"intermediate_size": 28672}, 2, None),
        ({"quant_method": "fp8"}, {}, 2, None),
        (AQLM, {}, 2, None),
        (AQLM | {"in_group_size": 64}, {"intermediate_size": 29632}, 2, "multiple of the 64"),
        # Fewer key-value heads than cards: none is cut.
        (FP8, {"intermediate_size": 32768, "num_key_value_heads": 1}, 16, None),
    ],
)
def test_what_may_be_split_over_how_many_cards(
    quantization: dict[str, Any], changes: dict[str, Any], cards: int, says: str | None
) -> None:
    found = misaligned(qwen_72b(quantization, **changes), cards)
    assert (found is None) if says is None else (found is not None and says in found)


def test_unquantized_weights_are_split_as_they_come() -> None:
    assert misaligned(qwen_72b(None), 2) is None
