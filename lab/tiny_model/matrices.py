"""The tiny model's matrices before they are stored: 4-bit values and one scale for each matrix."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

ZERO_POINT = 8
LARGEST = 15

# AWQ's "gemm" layout: nibble i of a word holds the column at this place of its group of eight.
NIBBLE_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)


@dataclass(frozen=True)
class Matrix:
    """A matrix whose elements are (value - ZERO_POINT) * scale, with values from 0 to LARGEST.

    `packed` holds the values of one input after the other, two in a byte, in AWQ's order.
    """

    inputs: int
    outputs: int
    scale: float
    packed: bytes


def random_matrix(source: random.Random, inputs: int, outputs: int, scale: float) -> Matrix:
    """Return a matrix of random values."""
    return Matrix(inputs, outputs, scale, source.randbytes(inputs * outputs // 2))


def one_per_row(inputs: int, outputs: int, scale: float, column: Callable[[int], int]) -> Matrix:
    """Return a matrix that is zero but for the largest value at `column(row)` of each row."""
    rows = []
    for row in range(inputs):
        values = [ZERO_POINT] * outputs
        values[column(row)] = LARGEST
        rows.append(pack(values))
    return Matrix(inputs, outputs, scale, b"".join(rows))


def pack(row: list[int]) -> bytes:
    """Pack a row of 4-bit values, eight to a little-endian word, in AWQ's order."""
    words = (
        sum(row[start + column] << (4 * nibble) for nibble, column in enumerate(NIBBLE_ORDER))
        for start in range(0, len(row), 8)
    )
    return struct.pack(f"<{len(row) // 8}I", *words)


def unpack(packed: bytes) -> bytes:
    """Return the values of packed rows, one in a byte, in the order of their columns."""
    low = bytes(byte & 15 for byte in range(256))
    high = bytes(byte >> 4 for byte in range(256))
    values = bytearray(2 * len(packed))
    for place in range(4):
        nibbles = packed[place::4]
        values[NIBBLE_ORDER[2 * place] :: 8] = nibbles.translate(low)
        values[NIBBLE_ORDER[2 * place + 1] :: 8] = nibbles.translate(high)
    return bytes(values)
