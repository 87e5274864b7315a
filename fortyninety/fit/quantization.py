"""Compute which tensors replace a matrix in a quantized checkpoint, and their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fortyninety.fit.config_values import choice, flag, mapping, pair, refused, size, texts
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.left_out import LONGEST, MOST, LeftOut
from fortyninety.text.short_repr import short_repr

# Weights to a scale, and a block's sides, at most: several times the 128 that checkpoints have.
MOST_GROUP = 1 << 16

Axis = Literal["input", "output", "none"]
"""Along which axis of the matrix a tensor runs: it is split where tensor parallelism splits that
axis, and whole on every card where it does not."""


@dataclass(frozen=True)
class Part:
    """One tensor of a stored matrix: its bytes, and the axes it runs along.

    `kept` is false for what the engine drops once the weights are in the form that it computes in.
    """

    suffix: str
    size: int
    axes: frozenset[Axis]
    kept: bool = True


BOTH: frozenset[Axis] = frozenset({"input", "output"})
OUTPUT: frozenset[Axis] = frozenset({"output"})
INPUT: frozenset[Axis] = frozenset({"input"})
WHOLE: frozenset[Axis] = frozenset()


@dataclass(frozen=True)
class Quantization:
    """How a checkpoint's matrices are stored. `group` is weights to a scale, -1 for one a row.

    "packed" and "int8" are compressed-tensors' whole numbers: several in 32 bits for activations of
    16 bits, and of 8 bits for activations of 8. `zero_points` is of the former, `compressed` of
    all that compressed-tensors wrote, `cache_scales` that it has scales for an fp8 KV cache.
    """

    method: Literal["awq", "gptq", "aqlm", "fp8", "packed", "int8", "mxfp4"]
    bits: int
    group: int = -1
    activation_order: bool = False
    static_activations: bool = False
    per_channel_scales: bool = False
    block: tuple[int, int] | None = None
    codebooks: int = 1
    in_group: int = 1
    out_group: int = 1
    zero_points: bool = False
    compressed: bool = False
    cache_scales: bool = False
    left_out: LeftOut = field(default_factory=LeftOut)

    @property
    def grouped(self) -> bool:
        """Whether a matrix has several scales along its inputs."""
        return self.block is not None or self.group != -1

    def __str__(self) -> str:
        if self.method in ("fp8", "int8", "mxfp4"):
            return self.method
        if self.method == "packed":
            return f"compressed-tensors {self.bits}-bit"
        bits = self.bits * self.codebooks / (self.in_group * self.out_group)
        return f"{self.method} {bits:g}-bit"

    def covers(self, module: str) -> bool:
        """Whether the matrix at `module`, such as "model.layers.0.mlp.up_proj", is quantized."""
        if self.method == "mxfp4":
            return ".experts." in module
        return not self.left_out.has(module)

    def with_scaled_cache(self, version: tuple[int, int]) -> bool:
        """Whether the release gives the attention scales for an fp8 KV cache from the checkpoint.

        Before 0.33 with all that compressed-tensors wrote, and from then on where it has scales.
        """
        if self.compressed:
            return version < (0, 33) or self.cache_scales
        return self.method == "fp8"

    def input_group(self, inputs: int) -> int:
        """How many inputs of a matrix with so many are stored together."""
        if self.method == "aqlm":
            return self.in_group
        if self.method == "fp8":
            return self.block[1] if self.block else 1
        if self.method in ("int8", "mxfp4"):
            # What mxfp4's groups of 32 are cut into, the engine fills up.
            return 1
        if self.group != -1:
            return self.group
        # GPTQ packs inputs into 32 bits, and its scale for a whole row may stand on every card.
        return inputs if self.method == "awq" else 32 // self.bits

    @property
    def output_group(self) -> int:
        """How many outputs of a matrix are stored together."""
        if self.method == "aqlm":
            return self.out_group
        if self.method == "fp8":
            return self.block[0] if self.block else 1
        # AWQ packs outputs into 32 bits.
        return 32 // self.bits if self.method == "awq" else 1

    def parts(self, inputs: int, outputs: int, dtype_bytes: int) -> tuple[Part, ...]:
        """The tensors that stand in for a matrix of `inputs` x `outputs`.

        Source: `create_weights` of vllm/model_executor/layers/quantization/awq_marlin.py,
        gptq_marlin.py, aqlm.py and fp8.py in 0.8.5.post1, which have the layouts of the files.
        """
        if self.method == "packed":
            return self._packed(inputs, outputs, dtype_bytes)
        if self.method == "int8":
            return Part("weight", inputs * outputs, BOTH), Part("weight_scale", outputs * 4, OUTPUT)
        if self.method == "mxfp4":
            size = inputs * outputs
            return Part("blocks", size // 2, BOTH), Part("scales", size // 32, BOTH)
        if self.method in ("awq", "gptq"):
            groups = 1 if self.group == -1 else inputs // self.group
            parts = [
                Part("qweight", inputs * outputs * self.bits // 8, BOTH),
                # GPTQ's are symmetric for the Marlin kernel, which keeps no zero points.
                Part(
                    "qzeros",
                    groups * outputs * self.bits // 8,
                    BOTH if groups > 1 else OUTPUT,
                    kept=self.method == "awq",
                ),
                Part("scales", groups * outputs * dtype_bytes, BOTH if groups > 1 else OUTPUT),
            ]
            if self.method == "gptq":
                parts.append(Part("g_idx", inputs * 4, INPUT, kept=self.activation_order))
            return tuple(parts)
        if self.method == "aqlm":
            # `bits` is of one codebook's codes: 1x16 has one code of 16 bits for 8 weights.
            codes = (inputs // self.in_group) * (outputs // self.out_group)
            book = 2**self.bits * self.in_group * self.out_group
            return (
                Part("codes", codes * self.codebooks * max(1, self.bits // 8), BOTH),
                Part("codebooks", self.codebooks * book * dtype_bytes, WHOLE),
                Part("scales", (outputs // self.out_group) * dtype_bytes, OUTPUT),
            )
        if self.block is not None:
            rows, columns = -(-outputs // self.block[0]), -(-inputs // self.block[1])
            scale = Part("weight_scale_inv", rows * columns * 4, BOTH)
        elif self.per_channel_scales:
            scale = Part("weight_scale", outputs * 4, OUTPUT)
        else:
            scale = Part("weight_scale", 4, WHOLE)
        parts = [Part("weight", inputs * outputs, BOTH), scale]
        if self.static_activations:
            parts.append(Part("input_scale", 4, WHOLE))
        return tuple(parts)

    def _packed(self, inputs: int, outputs: int, dtype_bytes: int) -> tuple[Part, ...]:
        """Source: create_weights in compressed_tensors_wNa16.py of 0.8.5.post1."""
        groups = 1 if self.group == -1 else inputs // self.group
        axes = BOTH if groups > 1 else OUTPUT
        parts = [
            Part("weight_packed", inputs * outputs * self.bits // 8, BOTH),
            Part("weight_scale", groups * outputs * dtype_bytes, axes),
            Part("weight_shape", 16, WHOLE),
        ]
        if self.zero_points:
            parts.append(Part("weight_zero_point", groups * outputs * self.bits // 8, axes))
        if self.activation_order:
            parts.append(Part("weight_g_idx", inputs * 4, INPUT))
        return tuple(parts)


def read_quantization(config: Mapping[str, Any]) -> Quantization | None:
    """The `quantization_config` of a config.json; None for a checkpoint that has none.

    Raises CheckpointError for a method that the arithmetic does not know, or knows otherwise.
    """
    if config.get("quantization_config") is None:
        return None
    own = mapping(config, "quantization_config")
    method = own.get("quant_method")
    if method in ("awq", "gptq"):
        bits = choice(own, "bits", (4, 8) if method == "gptq" else (4,))
        group = -1 if own.get("group_size") in (None, -1) else size(own, "group_size", MOST_GROUP)
        return Quantization(
            "awq" if method == "awq" else "gptq",
            bits,
            group=group,
            activation_order=flag(own, "desc_act"),
            left_out=_left_out(own, "modules_to_not_convert", "ignored_layers"),
        )
    if method == "aqlm":
        return Quantization(
            "aqlm",
            choice(own, "nbits_per_codebook", (8, 16)),
            codebooks=choice(own, "num_codebooks", tuple(range(1, 17))),
            in_group=choice(own, "in_group_size", tuple(range(1, 65))),
            out_group=choice(own, "out_group_size", tuple(range(1, 65))),
            left_out=_left_out(own, "linear_weights_not_to_quantize"),
        )
    if method == "fp8":
        return Quantization(
            "fp8",
            8,
            static_activations=own.get("activation_scheme") == "static",
            block=pair(own, "weight_block_size", MOST_GROUP),
            left_out=_left_out(own, "modules_to_not_convert", "ignored_layers"),
        )
    if method == "compressed-tensors":
        return _compressed_tensors(own)
    if method == "mxfp4":
        return Quantization("mxfp4", 4, group=32)
    raise refused("quant_method", method, "awq, gptq, aqlm, fp8, mxfp4 or compressed-tensors")


def _compressed_tensors(config: Mapping[str, Any]) -> Quantization:
    groups = mapping(config, "config_groups")
    if len(groups) != 1:
        raise CheckpointError(
            f"config.json: compressed-tensors with {len(groups)} groups; expected one"
        )
    group = mapping(groups, next(iter(groups)))
    weights, activations = mapping(group, "weights"), mapping(group, "input_activations")
    kind, bits, left_out = weights.get("type"), weights.get("num_bits"), _left_out(config, "ignore")
    scaled = config.get("kv_cache_scheme") is not None
    if kind == "float" and bits == 8:
        return Quantization(
            "fp8",
            8,
            static_activations=activations.get("dynamic") is False,
            per_channel_scales=weights.get("strategy") == "channel",
            block=pair(weights, "block_structure", MOST_GROUP),
            compressed=True,
            cache_scales=scaled,
            left_out=left_out,
        )
    if kind == "int" and activations.get("num_bits") == 8 == bits:
        return Quantization("int8", 8, compressed=True, cache_scales=scaled, left_out=left_out)
    # Of the pattern "2:4" only a part is stored.
    dense = config.get("sparsity_config") in (None, {})
    if kind == "int" and not activations and bits in (4, 8) and dense:
        whole_rows = weights.get("group_size") in (None, -1)
        return Quantization(
            "packed",
            bits,
            group=-1 if whole_rows else size(weights, "group_size", MOST_GROUP),
            activation_order=weights.get("actorder") == "group",
            zero_points=weights.get("symmetric") is False,
            compressed=True,
            cache_scales=scaled,
            left_out=left_out,
        )
    found = f"{short_repr(bits)}-bit {short_repr(kind)}"
    if activations:
        found += f" and activations of {short_repr(activations.get('num_bits'))} bits"
    if not dense:
        found += ", sparse"
    raise CheckpointError(
        f"config.json: compressed-tensors with {found}; expected 8-bit floats, 4-bit or 8-bit "
        "whole numbers alone, or 8-bit ones with 8-bit activations"
    )


def _left_out(config: Mapping[str, Any], *keys: str) -> LeftOut:
    """The first list of `keys` that there is, and the output head.

    The engines quantize no head of these methods, whether the list names it or not.
    """
    named = next(
        (found for key in keys if (found := texts(config, key, most=MOST, longest=LONGEST))), ()
    )
    return LeftOut((*named, "lm_head"))
