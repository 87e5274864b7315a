"""Find the matrices whose groups of quantized weights tensor parallelism would cut apart."""

from __future__ import annotations

from fortyninety.fit.architecture import Architecture
from fortyninety.fit.matrices import Matrix, matrices
from fortyninety.fit.quantization import Quantization


def misaligned(shape: Architecture, tensor_parallel: int) -> str | None:
    """Say which matrix cannot be split over so many cards, and why; None where each can.

    On one card nothing is split, and nothing is refused. Sources, in
    vllm/model_executor/layers/quantization of 0.8.5.post1, 0.32.0 and 0.33.0: `create_weights` of
    awq.py (auto_awq.py), to which the Marlin kernel falls back, of aqlm.py and of fp8.py (with
    utils/fp8_utils.py). GPTQ's kernel falls back to Exllama, which asks for the whole matrix alone
    (exllama.py) and is given scales of another group.
    """
    quantization = shape.quantization
    if quantization is None or tensor_parallel == 1:
        return None
    # Every layer has the same matrices; which of them are quantized may differ.
    for matrix in matrices(shape, ""):
        # Fewer key-value heads than cards: each card keeps one whole.
        heads = matrix.split == "kv columns"
        cards = min(tensor_parallel, shape.kv_heads) if heads else tensor_parallel
        why = _cut(matrix, quantization, cards)
        if (
            why is not None
            and matrix.quantized
            and any(
                quantization.covers(f"model.layers.{layer}{matrix.module}")
                for layer in range(shape.layers)
            )
        ):
            return why
    return None


def _cut(matrix: Matrix, quantization: Quantization, cards: int) -> str | None:
    if matrix.split == "rows":
        side, size, group = "input", matrix.inputs, quantization.input_group(matrix.inputs)
    else:
        side, size, group = "output", matrix.outputs, quantization.output_group
    if size // cards % group == 0:
        return None
    happens = "computes with wrong scales" if quantization.method == "gptq" else "refuses it"
    return (
        f"{matrix.module.rpartition('.')[2]} has {size} {side}s, {size // cards} on each of "
        f"{cards} cards, which is no multiple of the {group} that this checkpoint quantizes "
        f"together: the engine {happens}"
    )
