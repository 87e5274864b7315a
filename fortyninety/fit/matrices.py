"""List the matrices of a decoder's layer, and how tensor parallelism divides each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fortyninety.fit.architecture import Architecture

Split = Literal["columns", "kv columns", "rows", "vocabulary", "whole"]
"""How tensor parallelism divides a matrix: by output, by input, by rows of the vocabulary."""

# Source: the layer classes that vllm/model_executor/models/llama.py builds its modules from.
SPLITS: dict[str, Split] = {
    "q_proj": "columns",
    "k_proj": "kv columns",
    "v_proj": "kv columns",
    "o_proj": "rows",
    "gate_proj": "columns",
    "up_proj": "columns",
    "down_proj": "rows",
}


@dataclass(frozen=True)
class Matrix:
    """A matrix of a layer: `inputs` x `outputs`, and whether it has a bias."""

    module: str
    inputs: int
    outputs: int
    bias: bool

    @property
    def split(self) -> Split:
        """How tensor parallelism divides it."""
        return SPLITS[self.module.rpartition(".")[2]]


def matrices(shape: Architecture, layer: str) -> Iterator[Matrix]:
    """The matrices of the layer whose modules begin with `layer`, such as "model.layers.0"."""
    query, key_value = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention, mlp = shape.attention_bias, shape.mlp_bias
    yield Matrix(f"{layer}.self_attn.q_proj", shape.hidden, query, attention)
    yield Matrix(f"{layer}.self_attn.k_proj", shape.hidden, key_value, attention)
    yield Matrix(f"{layer}.self_attn.v_proj", shape.hidden, key_value, attention)
    yield Matrix(f"{layer}.self_attn.o_proj", query, shape.hidden, shape.output_bias)
    yield Matrix(f"{layer}.mlp.gate_proj", shape.hidden, shape.intermediate, mlp)
    yield Matrix(f"{layer}.mlp.up_proj", shape.hidden, shape.intermediate, mlp)
    yield Matrix(f"{layer}.mlp.down_proj", shape.intermediate, shape.hidden, mlp)
