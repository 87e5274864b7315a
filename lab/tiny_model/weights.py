"""The tiny models' weights: a sentence in the last layer, noise around it.

Each token is one axis of the hidden state. The embedding puts a one on the token's axis; the last
layer's MLP adds a large number on the axis of the token that comes next; the head reads the axes.
Attention and the other layers hold random weights with scales so small that they stir the hidden
state without ever turning the answer. How the matrices of the layers are stored is the model's.
"""

import random
from collections.abc import Iterator
from itertools import pairwise

from lab.tiny_model.configuration import (
    HEAD_DIMENSION,
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    KEY_VALUE_HEADS,
    LAYERS,
)
from lab.tiny_model.matrices import Matrix, one_per_row, random_matrix
from lab.tiny_model.models import TinyModel
from lab.tiny_model.safetensors import Tensor
from lab.tiny_model.storage import half
from lab.tiny_model.text import SENTENCE
from lab.tiny_model.tokenizer import END_OF_TURN, VOCABULARY_SIZE, encode, vocabulary

SEED = 4090

_NOISE_SCALE = 0.0002
# With the normalized one-hot state (sqrt(512) = 22.6 on its axis) the MLP adds about seven times
# what the embedding put there, so the next token's axis wins by far.
_GATE_SCALE = 0.02
_DOWN_SCALE = 0.1


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


def _ones(length: int) -> Tensor:
    return Tensor("F16", (length,), half(1.0) * length)


def _identity(size: int) -> Tensor:
    row = half(1.0) + half(0.0) * size
    return Tensor("F16", (size, size), (row * size)[: size * size * 2])


def _noise(source: random.Random, inputs: int, outputs: int) -> Matrix:
    return random_matrix(source, inputs, outputs, _NOISE_SCALE)


def _mlp(source: random.Random, last: bool) -> dict[str, Matrix]:
    if not last:
        return {
            "gate_proj": _noise(source, HIDDEN, INTERMEDIATE),
            "up_proj": _noise(source, HIDDEN, INTERMEDIATE),
            "down_proj": _noise(source, INTERMEDIATE, HIDDEN),
        }
    followers = next_tokens()
    return {
        "gate_proj": one_per_row(HIDDEN, INTERMEDIATE, _GATE_SCALE, lambda token: token),
        "up_proj": one_per_row(HIDDEN, INTERMEDIATE, _GATE_SCALE, lambda token: token),
        "down_proj": one_per_row(INTERMEDIATE, HIDDEN, _DOWN_SCALE, followers.__getitem__),
    }


def _layer(model: TinyModel, source: random.Random, number: int) -> dict[str, Tensor]:
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
        for name, matrix in matrices.items():
            for part, tensor in model.store(matrix).items():
                tensors[f"{prefix}.{block}.{name}.{part}"] = tensor
    return tensors


def shards(model: TinyModel) -> Iterator[dict[str, Tensor]]:
    """Yield a model's tensors shard by shard: the embedding, every layer, the norm and the head."""
    source = random.Random(SEED)
    yield {"model.embed_tokens.weight": _identity(VOCABULARY_SIZE)}
    for number in range(LAYERS):
        yield _layer(model, source, number)
    yield {
        "model.norm.weight": _ones(HIDDEN),
        "lm_head.weight": _identity(VOCABULARY_SIZE),
    }
