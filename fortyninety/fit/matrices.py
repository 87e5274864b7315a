"""List the matrices of a decoder's layer, and how tensor parallelism divides each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fortyninety.fit.architecture import Architecture
from fortyninety.fit.experts import Experts

Split = Literal["columns", "kv columns", "qkv columns", "rows", "vocabulary", "whole"]
"""How tensor parallelism divides a matrix: by output, by input, by rows of the vocabulary."""

# Source: the layer classes that vllm/model_executor/models/llama.py builds its modules from, and
# FusedMoE in vllm/model_executor/layers/fused_moe/layer.py for w1 (gate), w3 (up) and w2 (down).
SPLITS: dict[str, Split] = {
    "q_proj": "columns",
    "k_proj": "kv columns",
    "v_proj": "kv columns",
    "qkv_proj": "qkv columns",
    "o_proj": "rows",
    "gate_proj": "columns",
    "up_proj": "columns",
    "gate_up_proj": "columns",
    "down_proj": "rows",
    "w1": "columns",
    "w3": "columns",
    "w2": "rows",
    "gate": "whole",
    "router": "whole",
}


@dataclass(frozen=True)
class Matrix:
    """A matrix of a layer: `inputs` x `outputs`, whether it has a bias, and how many there are.

    `quantized` is false for one that no method quantizes, such as what chooses between experts.
    """

    module: str
    inputs: int
    outputs: int
    bias: bool
    count: int = 1
    quantized: bool = True

    @property
    def split(self) -> Split:
        """How tensor parallelism divides it."""
        return SPLITS[self.module.rpartition(".")[2]]


def matrices(shape: Architecture, layer: str) -> Iterator[Matrix]:
    """The matrices of the layer whose modules begin with `layer`, such as "model.layers.0"."""
    query, key_value = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention, mlp = shape.attention_bias, shape.mlp_bias
    if shape.fused:
        outputs = query + 2 * key_value
        yield Matrix(f"{layer}.self_attn.qkv_proj", shape.hidden, outputs, attention)
    else:
        yield Matrix(f"{layer}.self_attn.q_proj", shape.hidden, query, attention)
        yield Matrix(f"{layer}.self_attn.k_proj", shape.hidden, key_value, attention)
        yield Matrix(f"{layer}.self_attn.v_proj", shape.hidden, key_value, attention)
    yield Matrix(f"{layer}.self_attn.o_proj", query, shape.hidden, shape.output_bias)
    if shape.experts is not None:
        yield from _experts(shape, shape.experts, layer)
    elif shape.fused:
        yield Matrix(f"{layer}.mlp.gate_up_proj", shape.hidden, 2 * shape.intermediate, mlp)
        yield Matrix(f"{layer}.mlp.down_proj", shape.intermediate, shape.hidden, mlp)
    else:
        yield Matrix(f"{layer}.mlp.gate_proj", shape.hidden, shape.intermediate, mlp)
        yield Matrix(f"{layer}.mlp.up_proj", shape.hidden, shape.intermediate, mlp)
        yield Matrix(f"{layer}.mlp.down_proj", shape.intermediate, shape.hidden, mlp)


def _experts(shape: Architecture, experts: Experts, layer: str) -> Iterator[Matrix]:
    """All experts of a layer at once: the engine has one tensor of each of their three matrices."""
    module, (gate, up, down) = f"{layer}.{experts.module}", experts.matrices
    width, biased = experts.intermediate, experts.biased
    router = f"{module}.{experts.router}"
    yield Matrix(router, shape.hidden, experts.count, biased, quantized=False)
    for name, inputs, outputs in (
        (gate, shape.hidden, width),
        (up, shape.hidden, width),
        (down, width, shape.hidden),
    ):
        yield Matrix(f"{module}.experts.{name}", inputs, outputs, biased, experts.count)
