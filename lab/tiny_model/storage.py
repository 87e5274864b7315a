"""Store a matrix in a checkpoint: as AWQ's 4-bit words, or as plain 16-bit floats."""

from __future__ import annotations

import struct

from lab.tiny_model.configuration import GROUP
from lab.tiny_model.matrices import ZERO_POINT, Matrix, pack, unpack
from lab.tiny_model.safetensors import Tensor


def half(value: float) -> bytes:
    """Return a 16-bit float, little-endian."""
    return struct.pack("<e", value)


def awq(matrix: Matrix) -> dict[str, Tensor]:
    """Return the tensors of AWQ's "gemm" layout by the last part of their names."""
    groups = matrix.inputs // GROUP
    zeros = pack([ZERO_POINT] * matrix.outputs) * groups
    scales = half(matrix.scale) * (groups * matrix.outputs)
    return {
        "qweight": Tensor("I32", (matrix.inputs, matrix.outputs // 8), matrix.packed),
        "qzeros": Tensor("I32", (groups, matrix.outputs // 8), zeros),
        "scales": Tensor("F16", (groups, matrix.outputs), scales),
    }


def fp16(matrix: Matrix) -> dict[str, Tensor]:
    """Return the one tensor of 16-bit floats, an output after the other, as Linear layers have it.

    The values are those that AWQ's layout stands for, so both ways compute with the same weights.
    """
    (scale,) = struct.unpack("<e", half(matrix.scale))
    halves = [half(scale * (value - ZERO_POINT)) for value in range(16)]
    # A table for each byte of a float, filled up to the 256 entries that translate() asks for.
    low, high = (bytes(each[place] for each in halves).ljust(256) for place in (0, 1))
    values = unpack(matrix.packed)
    columns = b"".join(values[column :: matrix.outputs] for column in range(matrix.outputs))
    content = bytearray(2 * len(columns))
    content[0::2], content[1::2] = columns.translate(low), columns.translate(high)
    return {"weight": Tensor("F16", (matrix.outputs, matrix.inputs), bytes(content))}
