"""List the tensors of a checkpoint, and what part of each is on which card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fortyninety.fit.alignment import misaligned
from fortyninety.fit.allocator import allocated
from fortyninety.fit.architecture import Architecture
from fortyninety.fit.errors import CheckpointError, ShapeError
from fortyninety.fit.matrices import SPLITS, Matrix, Split, matrices
from fortyninety.fit.quantization import BOTH, INPUT, OUTPUT, WHOLE, Axis, Part
from fortyninety.text.short_repr import short_repr

# Rows of the embedding and of the output head, on all cards together, are a multiple of this.
# Source: DEFAULT_VOCAB_PADDING_SIZE in vllm/model_executor/layers/vocab_parallel_embedding.py.
VOCABULARY_PADDING = 64

# A shard of the largest public checkpoints has under 1 << 36 bytes, and all of them some thousand
# tensors; a mixture of experts, which is refused, has more.
MOST_BYTES = 1 << 44
MOST_TENSORS = 200_000

# The norms of a layer's hidden states: the first two are Llama's, all four are Gemma's.
_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)

Place = Literal["embedding", "layer", "norm", "head"]
# Axes of a tensor by the last part of its name, for checkpoints whose headers were read.
AXES: dict[str, frozenset[Axis]] = {
    "qweight": BOTH,
    "qzeros": BOTH,
    "scales": BOTH,
    "weight": BOTH,
    "codes": BOTH,
    "weight_scale_inv": BOTH,
    "g_idx": INPUT,
    "bias": OUTPUT,
    "weight_scale": OUTPUT,
    "codebooks": WHOLE,
    "input_scale": WHOLE,
    "weight_packed": BOTH,
    "weight_zero_point": BOTH,
    "weight_g_idx": INPUT,
    "weight_shape": WHOLE,
    "blocks": BOTH,
    "k_scale": WHOLE,
    "v_scale": WHOLE,
}

# What the engine keeps as one tensor: the layer and which of the two it is stay in the name.
_FUSED = re.compile(
    r"(?<=self_attn\.)[qkv]_proj|(?<=mlp\.)(?:gate|up)_proj"
    r"|(?<=\.experts\.)(?:[0-9]+\.)?(?:gate_proj|up_proj|gate_up_proj|w1|w3)"
    r"|(?<=\.experts\.)(?:[0-9]+\.)?(?P<down>down_proj|w2)"
)
# gpt-oss's experts of a layer, which its checkpoint has as one tensor each.
_ALL_EXPERTS = re.compile(r"(mlp\.experts\.(?:gate_up|down)_proj)_(blocks|scales|bias)")
# To how many inputs and outputs its kernel fills them up. Source:
# mxfp4_round_up_hidden_size_and_intermediate_size, for Marlin, in 0.33.0.
_HIDDEN_FILLED, _INTERMEDIATE_FILLED = 256, 128
_LAYER = re.compile(r"model\.layers\.(0|[1-9][0-9]{0,3})\.(.+)")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the checkpoint: its bytes there, where it belongs and how it is divided."""

    name: str
    size: int
    place: Place
    layer: int | None
    split: Split
    axes: frozenset[Axis]
    kept: bool = True


@dataclass(frozen=True)
class Weights:
    """Every tensor of a checkpoint. `source` says in words where the sizes were read."""

    architecture: Architecture
    tensors: tuple[Tensor, ...]
    source: str

    @property
    def total(self) -> int:
        """Bytes of the checkpoint as it lies on disk."""
        return sum(tensor.size for tensor in self.tensors)

    def on_card(self, layers: range, *, first: bool, last: bool, tensor_parallel: int) -> int:
        """Bytes on each of the `tensor_parallel` cards that hold `layers`.

        `first` and `last` say whether the stage is the pipeline's first or last: the embedding is
        on the first, the norm and the output head on the last; tied, the embedding on both.
        Source: `LlamaModel.__init__` and `LlamaForCausalLM.__init__` in models/llama.py.
        """
        self._check(tensor_parallel)
        asked = (layers, first, last, tensor_parallel)
        if (known := self._on_cards.get(asked)) is None:
            known = self._on_cards[asked] = self._sum_on_card(*asked)
        return known

    @cached_property
    def _on_cards(self) -> dict[tuple[range, bool, bool, int], int]:
        """What `on_card` answered: the boxes of a fleet are alike."""
        return {}

    def _sum_on_card(self, layers: range, first: bool, last: bool, tensor_parallel: int) -> int:
        # q, k and v, and gate and up, are one tensor in the engine.
        fused: dict[str, int] = {}
        for tensor in self.tensors:
            if not tensor.kept:
                continue
            if tensor.place == "layer":
                here = tensor.layer in layers
            elif tensor.place == "embedding":
                here = first or (last and self.architecture.tied)
            else:
                here = last
            if here:
                name = _FUSED.sub(_fused_name, tensor.name)
                fused[name] = fused.get(name, 0) + self._share(tensor, tensor_parallel)
        # The rotary embedding's table, which no file has: one for all layers. Source:
        # RotaryEmbedding._compute_cos_sin_cache in model_executor/layers/rotary_embedding.
        shape = self.architecture
        rotary = shape.positions * shape.rotary_dim * shape.dtype_bytes
        return sum(allocated(size) for size in fused.values()) + allocated(rotary)

    def _check(self, tensor_parallel: int) -> None:
        shape = self.architecture
        # Source: the divisions that vllm/config asserts, and LlamaAttention.__init__.
        if shape.heads % tensor_parallel:
            raise ShapeError(
                f"{shape.heads} attention heads cannot be split over {tensor_parallel} cards; "
                "expected a tensor-parallel size that divides them"
            )
        large, small = max(shape.kv_heads, tensor_parallel), min(shape.kv_heads, tensor_parallel)
        width = shape.intermediate if shape.experts is None else shape.experts.intermediate
        if large % small or width % tensor_parallel:
            raise ShapeError(
                f"{shape.kv_heads} key-value heads and {width} MLP columns cannot be "
                f"split over {tensor_parallel} cards"
            )
        if (why := misaligned(shape, tensor_parallel)) is not None:
            raise ShapeError(
                f"{why}. Split it by layers over boxes (a cell), or take another checkpoint"
            )

    def _share(self, tensor: Tensor, tensor_parallel: int) -> int:
        size, cards = tensor.size, tensor_parallel
        shape = self.architecture
        if shape.quantization is not None and shape.quantization.method == "mxfp4":
            size = _filled(tensor, shape, cards)
        if tensor.split == "vocabulary":
            # Padded to whole rows on every card.
            rows = self.architecture.vocabulary
            padded = -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING
            return size // rows * (-(-padded // cards))
        if tensor.split == "columns" and "output" in tensor.axes:
            return size // cards
        if tensor.split == "kv columns" and "output" in tensor.axes:
            # Fewer key-value heads than cards: each card keeps one whole.
            return size // min(cards, self.architecture.kv_heads)
        if tensor.split == "qkv columns" and "output" in tensor.axes:
            own = shape.heads // cards + 2 * max(1, shape.kv_heads // cards)
            return size * own // (shape.heads + 2 * shape.kv_heads)
        if tensor.split == "rows" and "input" in tensor.axes:
            return size // cards
        return size

    @cached_property
    def by_part(self) -> dict[str, int]:
        """Bytes by the last part of the tensors' names, the largest first."""
        sums: dict[str, int] = {}
        for tensor in self.tensors:
            part = _part(tensor)
            sums[part] = sums.get(part, 0) + tensor.size
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _fused_name(match: re.Match[str]) -> str:
    return "down" if match["down"] else "fused"


def _filled(tensor: Tensor, shape: Architecture, cards: int) -> int:
    """The size of a tensor of experts with what the kernel fills it up with, on all cards."""
    if shape.experts is None or ".experts." not in tensor.name or tensor.axes != BOTH:
        return tensor.size
    width = -(-shape.experts.intermediate // cards)
    hidden = -(-shape.hidden // _HIDDEN_FILLED) * _HIDDEN_FILLED
    filled = -(-width // _INTERMEDIATE_FILLED) * _INTERMEDIATE_FILLED
    return tensor.size * hidden * filled // (shape.hidden * width)


def _part(tensor: Tensor) -> str:
    if tensor.place == "embedding":
        return "embed_tokens"
    if tensor.place == "head":
        return "lm_head"
    return "norms" if tensor.split == "whole" else tensor.name.rpartition(".")[2]


def computed_weights(architecture: Architecture) -> Weights:
    """The tensors that a checkpoint of this architecture and quantization has."""
    return Weights(architecture, tuple(_computed(architecture)), "computed from config.json")


def read_weights(architecture: Architecture, sizes: Iterable[tuple[str, int]]) -> Weights:
    """The tensors as the shards' headers list them: (name, bytes).

    Raises CheckpointError where a layer is missing, or a tensor is none of the architecture's.
    """
    tensors = tuple(
        tensor
        for name, size in _checked(sizes)
        if (tensor := _recognised(architecture, name, size)) is not None
    )
    layers = {tensor.layer for tensor in tensors if tensor.place == "layer"}
    missing = sorted(set(range(architecture.layers)) - layers)
    if missing or not any(tensor.place == "embedding" for tensor in tensors):
        what = f"layers {missing[0]} to {missing[-1]}" if missing else "model.embed_tokens"
        raise CheckpointError(
            f"the shards hold nothing of {what}; expected {architecture.layers} layers and the "
            "embedding. Fetch the missing shards, or give a folder with config.json alone"
        )
    return Weights(architecture, tensors, "read from the shards' headers")


def _checked(sizes: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """The names and bytes as they came, each of its type and within bounds."""
    for count, (name, size) in enumerate(sizes):
        if count == MOST_TENSORS:
            raise CheckpointError(f"the shards hold more than {MOST_TENSORS} tensors")
        if not isinstance(name, str) or type(size) is not int or not 0 <= size <= MOST_BYTES:
            raise CheckpointError(
                f"the shards hold {short_repr(name)} of {short_repr(size)} bytes; expected a "
                f"tensor's name and from 0 to {MOST_BYTES} bytes"
            )
        yield name, size


def _recognised(architecture: Architecture, name: str, size: int) -> Tensor | None:
    if name.endswith("rotary_emb.inv_freq"):
        return None
    if name.startswith("model.embed_tokens."):
        return Tensor(name, size, "embedding", None, "vocabulary", BOTH)
    if name.startswith("lm_head."):
        # Tied, the file's own copy is passed over: `skip_prefixes` in models/llama.py.
        return None if architecture.tied else Tensor(name, size, "head", None, "vocabulary", BOTH)
    if name == "model.norm.weight":
        return Tensor(name, size, "norm", None, "whole", WHOLE)
    if (match := _LAYER.fullmatch(name)) and int(match[1]) < architecture.layers:
        tensor = _recognised_in_layer(architecture, name, size, int(match[1]), match[2])
        if tensor is not None:
            return tensor
    raise CheckpointError(
        f"the shards hold {short_repr(name)}, which is no tensor of {architecture.name}; the "
        "arithmetic would be a guess"
    )


def _recognised_in_layer(
    architecture: Architecture, name: str, size: int, layer: int, rest: str
) -> Tensor | None:
    module, _, suffix = rest.rpartition(".")
    if module.endswith("norm"):
        return Tensor(name, size, "layer", layer, "whole", WHOLE)
    if architecture.sinks and rest == "self_attn.sinks":
        return Tensor(name, size, "layer", layer, "columns", OUTPUT)
    if architecture.experts is not None and (all_of_them := _ALL_EXPERTS.fullmatch(rest)):
        module, suffix = all_of_them[1], all_of_them[2]
    split = SPLITS.get(module.rpartition(".")[2])
    if split is not None and suffix in AXES:
        quantization = architecture.quantization
        marlin_drops = (
            quantization is not None
            and quantization.method == "gptq"
            and (suffix == "qzeros" or (suffix == "g_idx" and not quantization.activation_order))
        )
        axes = AXES[suffix]
        # A scale for each output has nothing to be split where the inputs are.
        if suffix == "scales" and quantization is not None and quantization.method == "aqlm":
            axes = OUTPUT
        if suffix == "weight_scale" and quantization is not None and quantization.grouped:
            axes = BOTH
        return Tensor(name, size, "layer", layer, split, axes, kept=not marlin_drops)
    return None


def _computed(shape: Architecture) -> Iterator[Tensor]:
    unit = shape.dtype_bytes
    table = shape.vocabulary * shape.hidden * unit
    yield Tensor("model.embed_tokens.weight", table, "embedding", None, "vocabulary", BOTH)
    for layer in range(shape.layers):
        yield from _layer(shape, layer)
    yield Tensor("model.norm.weight", shape.hidden * unit, "norm", None, "whole", WHOLE)
    if not shape.tied:
        yield Tensor("lm_head.weight", table, "head", None, "vocabulary", BOTH)


def _layer(shape: Architecture, layer: int) -> Iterator[Tensor]:
    prefix, unit = f"model.layers.{layer}", shape.dtype_bytes
    for matrix in matrices(shape, prefix):
        parts = _parts(shape, matrix)
        if matrix.bias:
            parts = (*parts, Part("bias", matrix.outputs * unit, OUTPUT))
        for part in parts:
            name, size = f"{matrix.module}.{part.suffix}", part.size * matrix.count
            yield Tensor(name, size, "layer", layer, matrix.split, part.axes, part.kept)
    if shape.sinks:
        name = f"{prefix}.self_attn.sinks"
        yield Tensor(name, shape.heads * unit, "layer", layer, "columns", OUTPUT)
    norms = dict.fromkeys(_NORMS[: shape.hidden_norms], shape.hidden)
    if shape.head_norms:
        norms |= {"self_attn.q_norm": shape.head_dim, "self_attn.k_norm": shape.head_dim}
    for module, size in norms.items():
        name = f"{prefix}.{module}.weight"
        yield Tensor(name, size * unit, "layer", layer, "whole", WHOLE)


def _parts(shape: Architecture, matrix: Matrix) -> tuple[Part, ...]:
    quantization, inputs, outputs = shape.quantization, matrix.inputs, matrix.outputs
    if quantization is not None and matrix.quantized and quantization.covers(matrix.module):
        return quantization.parts(inputs, outputs, shape.dtype_bytes)
    return (Part("weight", inputs * outputs * shape.dtype_bytes, BOTH),)
