"""Quantized checkpoints: which tensors stand in for a matrix, and how large each is."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fortyninety.fit.errors import CheckpointError

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
    unquantized: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.method == "fp8":
            return "fp8"
        bits = self.bits * self.codebooks / (self.in_group * self.out_group)
        return f"{self.method} {bits:g}-bit"

    def covers(self, module: str) -> bool:
        """Whether the matrix at `module`, such as "model.layers.0.mlp.up_proj", is quantized."""
        return not any(_matches(pattern, module) for pattern in self.unquantized)

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


def read_quantization(config: Mapping[str, Any] | None) -> Quantization | None:
    """The `quantization_config` of a config.json; None for a checkpoint that has none.

    Raises CheckpointError for a method that the arithmetic does not know, or knows otherwise.
    """
    if config is None:
        return None
    method = config.get("quant_method")
    left_out = tuple(config.get("modules_to_not_convert") or config.get("ignored_layers") or ())
    # The engines quantize no output head of these methods, whether the list names it or not.
    left_out = (*left_out, "lm_head")
    if method in ("awq", "gptq"):
        bits = _number(config, "bits", (4, 8) if method == "gptq" else (4,))
        group = config.get("group_size", -1)
        if not isinstance(group, int) or (group != -1 and group < 1):
            raise CheckpointError(
                f"config.json: group_size of {method} is {group!r}; expected -1 or at least 1"
            )
        order = bool(config.get("desc_act", False))
        return Quantization(method, bits, group=group, activation_order=order, unquantized=left_out)
    if method == "aqlm":
        return Quantization(
            "aqlm",
            _number(config, "nbits_per_codebook", (8, 16)),
            codebooks=_number(config, "num_codebooks", tuple(range(1, 17))),
            in_group=_number(config, "in_group_size", tuple(range(1, 65))),
            out_group=_number(config, "out_group_size", tuple(range(1, 65))),
            unquantized=(*(config.get("linear_weights_not_to_quantize") or ()), "lm_head"),
        )
    if method == "fp8":
        block = config.get("weight_block_size")
        return Quantization(
            "fp8",
            8,
            static_activations=config.get("activation_scheme") == "static",
            block=(int(block[0]), int(block[1])) if block else None,
            unquantized=left_out,
        )
    if method == "compressed-tensors":
        return _compressed_tensors(config)
    raise CheckpointError(
        f"config.json: quant_method is {method!r}; expected awq, gptq, aqlm, fp8 or "
        "compressed-tensors with 8-bit floats"
    )


def _compressed_tensors(config: Mapping[str, Any]) -> Quantization:
    groups = list((config.get("config_groups") or {}).values())
    weights = groups[0].get("weights") or {} if len(groups) == 1 else {}
    if weights.get("type") != "float" or weights.get("num_bits") != 8:
        raise CheckpointError(
            "config.json: compressed-tensors with "
            f"{len(groups)} groups of {weights.get('num_bits')!r}-bit {weights.get('type')!r}; "
            "expected one group of 8-bit floats"
        )
    block = weights.get("block_structure")
    activations = groups[0].get("input_activations") or {}
    return Quantization(
        "fp8",
        8,
        static_activations=activations.get("dynamic") is False,
        per_channel_scales=weights.get("strategy") == "channel",
        block=(int(block[0]), int(block[1])) if block else None,
        unquantized=(*(config.get("ignore") or ()), "lm_head"),
    )


def _number(config: Mapping[str, Any], key: str, allowed: tuple[int, ...]) -> int:
    value = config.get(key)
    if value not in allowed or not isinstance(value, int):
        shown = ", ".join(map(str, allowed)) if len(allowed) < 5 else f"1 to {allowed[-1]}"
        raise CheckpointError(f"config.json: {key} is {value!r}; expected {shown}")
    return value


def _matches(pattern: str, module: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), module) is not None
    return pattern in module or fnmatch.fnmatch(module, pattern)
