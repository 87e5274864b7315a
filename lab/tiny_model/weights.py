"""The tiny model's weights: a sentence in the last layer, noise around it.

Each token is one axis of the hidden state. The embedding puts a one on the token's axis; the last
layer's MLP, in 4-bit weights, adds a large number on the axis of the token that comes next; the
head reads the axes. Attention and the other layers hold random 4-bit weights with scales so small
that they stir the hidden state without ever turning the answer.
"""

import random
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

from lab.tiny_model.configuration import (
    GROUP,
    HEAD_DIMENSION,
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    KEY_VALUE_HEADS,
    LAYERS,
)
from lab.tiny_model.safetensors import Tensor
from lab.tiny_model.text import SENTENCE
from lab.tiny_model.tokenizer import END_OF_TURN, VOCABULARY_SIZE, encode, vocabulary

SEED = 4090

_ZERO_POINT = 8
_LARGEST = 15
_NOISE_SCALE = 0.0002
# With the normalized one-hot state (sqrt(512) = 22.6 on its axis) the MLP adds about seven times
# what the embedding put there, so the next token's axis wins by far.
_GATE_SCALE = 0.02
_DOWN_SCALE = 0.1

# AWQ's "gemm" layout: nibble i of a word holds the column at this place of its group of eight.
_NIBBLE_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


def next_tokens() -> list[int]:
    """Return, for each token, the one that follows it: the sentence's, else its first word."""
    sentence = encode(SENTENCE)
    if len(set(sentence)) != len(sentence):
        raise ValueError(f"the sentence uses a token twice, so it cannot be a chain: {SENTENCE!r}")
    followers = [sentence[0]] * VOCABULARY_SIZE
    for token, follower in pairwise(sentence):
        followers[token] = follower
    followers[sentence[-1]] = vocabulary()[END_OF_TURN]
    return followers


def _half(value: float) -> bytes:
    return struct.pack("<e", value)


def _ones(length: int) -> Tensor:
    return Tensor("F16", (length,), _half(1.0) * length)


def _identity(size: int) -> Tensor:
    row = _half(1.0) + _half(0.0) * size
    return Tensor("F16", (size, size), (row * size)[: size * size * 2])


def _pack(row: list[int]) -> bytes:
    """Pack a row of 4-bit values, eight to a little-endian word, in AWQ's order."""
    words = (
        sum(row[start + column] << (4 * nibble) for nibble, column in enumerate(_NIBBLE_ORDER))
        for start in range(0, len(row), 8)
    )
    return struct.pack(f"<{len(row) // 8}I", *words)


def _quantized(inputs: int, outputs: int, scale: float, qweight: bytes) -> dict[str, Tensor]:
    groups = inputs // GROUP
    zeros = _pack([_ZERO_POINT] * outputs) * groups
    return {
        "qweight": Tensor("I32", (inputs, outputs // 8), qweight),
        "qzeros": Tensor("I32", (groups, outputs // 8), zeros),
        "scales": Tensor("F16", (groups, outputs), _half(scale) * (groups * outputs)),
    }


def _noise(source: random.Random, inputs: int, outputs: int) -> dict[str, Tensor]:
    return _quantized(inputs, outputs, _NOISE_SCALE, source.randbytes(inputs * outputs // 2))


def _one_per_row(
    inputs: int, outputs: int, scale: float, column: Callable[[int], int]
) -> dict[str, Tensor]:
    """Return a matrix that is zero but for the largest weight at `column(row)` of each row."""
    rows = []
    for row in range(inputs):
        values = [_ZERO_POINT] * outputs
        values[column(row)] = _LARGEST
        rows.append(_pack(values))
    return _quantized(inputs, outputs, scale, b"".join(rows))


def _mlp(source: random.Random, last: bool) -> dict[str, dict[str, Tensor]]:
    if not last:
        return {
            "gate_proj": _noise(source, HIDDEN, INTERMEDIATE),
            "up_proj": _noise(source, HIDDEN, INTERMEDIATE),
            "down_proj": _noise(source, INTERMEDIATE, HIDDEN),
        }
    followers = next_tokens()
    return {
        "gate_proj": _one_per_row(HIDDEN, INTERMEDIATE, _GATE_SCALE, lambda token: token),
        "up_proj": _one_per_row(HIDDEN, INTERMEDIATE, _GATE_SCALE, lambda token: token),
        "down_proj": _one_per_row(INTERMEDIATE, HIDDEN, _DOWN_SCALE, followers.__getitem__),
    }


def _layer(source: random.Random, number: int) -> dict[str, Tensor]:
    attention = {
        "q_proj": _noise(source, HIDDEN, HEADS * HEAD_DIMENSION),
        "k_proj": _noise(source, HIDDEN, KEY_VALUE_HEADS * HEAD_DIMENSION),
        "v_proj": _noise(source, HIDDEN, KEY_VALUE_HEADS * HEAD_DIMENSION),
        "o_proj": _noise(source, HEADS * HEAD_DIMENSION, HIDDEN),
    }
    mlp = _mlp(source, last=number == LAYERS - 1)
    prefix = f"model.layers.{number}"
    tensors = {
        f"{prefix}.input_layernorm.weight": _ones(HIDDEN),
        f"{prefix}.post_attention_layernorm.weight": _ones(HIDDEN),
    }
    for block, matrices in (("self_attn", attention), ("mlp", mlp)):
        for matrix, parts in matrices.items():
            for part, tensor in parts.items():
                tensors[f"{prefix}.{block}.{matrix}.{part}"] = tensor
    return tensors


def shards() -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of each shard: the embedding, every layer, then the norm and the head."""
    source = random.Random(SEED)
    yield {"model.embed_tokens.weight": _identity(VOCABULARY_SIZE)}
    for number in range(LAYERS):
        yield _layer(source, number)
    yield {
        "model.norm.weight": _ones(HIDDEN),
        "lm_head.weight": _identity(VOCABULARY_SIZE),
    }
