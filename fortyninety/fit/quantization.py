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
    """How a checkpoint's matrices are stored. `group` is weights to a scale, -1 for one a row."""

    method: Literal["awq", "gptq", "aqlm", "fp8"]
    bits: int
    group: int = -1
    activation_order: bool = False
    static_activations: bool = False
    per_channel_scales: bool = False
    block: tuple[int, int] | None = None
    codebooks: int = 1
    in_group: int = 1
    out_group: int = 1
    left_out: LeftOut = field(default_factory=LeftOut)

    def __str__(self) -> str:
        if self.method == "fp8":
            return "fp8"
        bits = self.bits * self.codebooks / (self.in_group * self.out_group)
        return f"{self.method} {bits:g}-bit"

    def covers(self, module: str) -> bool:
        """Whether the matrix at `module`, such as "model.layers.0.mlp.up_proj", is quantized."""
        return not self.left_out.has(module)

    def input_group(self, inputs: int) -> int:
        """How many inputs of a matrix with so many are stored together."""
        if self.method == "aqlm":
            return self.in_group
        if self.method == "fp8":
            return self.block[1] if self.block else 1
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
    raise refused(
        "quant_method",
        method,
        "awq, gptq, aqlm, fp8 or compressed-tensors with 8-bit floats",
    )


def _compressed_tensors(config: Mapping[str, Any]) -> Quantization:
    groups = mapping(config, "config_groups")
    if len(groups) != 1:
        raise CheckpointError(
            f"config.json: compressed-tensors with {len(groups)} groups; expected one group of "
            "8-bit floats"
        )
    group = mapping(groups, next(iter(groups)))
    weights = mapping(group, "weights")
    if weights.get("type") != "float" or weights.get("num_bits") != 8:
        found = f"{short_repr(weights.get('num_bits'))}-bit {short_repr(weights.get('type'))}"
        raise CheckpointError(
            f"config.json: compressed-tensors with one group of {found}; expected one group of "
            "8-bit floats"
        )
    return Quantization(
        "fp8",
        8,
        static_activations=mapping(group, "input_activations").get("dynamic") is False,
        per_channel_scales=weights.get("strategy") == "channel",
        block=pair(weights, "block_structure", MOST_GROUP),
        left_out=_left_out(config, "ignore"),
    )


def _left_out(config: Mapping[str, Any], *keys: str) -> LeftOut:
    """The first list of `keys` that there is, and the output head.

    The engines quantize no head of these methods, whether the list names it or not.
    """
    named = next(
        (found for key in keys if (found := texts(config, key, most=MOST, longest=LONGEST))), ()
    )
    return LeftOut((*named, "lm_head"))
