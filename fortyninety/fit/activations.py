"""Compute what activations take of a card at their largest moment in the measuring run."""

from __future__ import annotations

from fortyninety.fit.allocator import MIB
from fortyninety.fit.architecture import Architecture
from fortyninety.fit.engine_memory import EngineMemory
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import Shape
from fortyninety.fit.weights import VOCABULARY_PADDING


def activation_peak(
    architecture: Architecture,
    shape: Shape,
    engine: EngineMemory,
    flags: Flags,
    tokens: int,
    *,
    first: bool,
    last: bool,
) -> int:
    """PyTorch's peak over the weights in the measuring run, in bytes.

    The largest of three moments, each measured apart on an H100 with 0.24.0: in an MLP, in the
    sampler, and while torch.compile tries its kernels, which only a first start does.
    """
    return engine.buffers + max(
        _mlp_peak(architecture, shape, engine, tokens=tokens, first=first),
        _sampler_peak(architecture, shape, engine, flags, tokens) if last else 0,
        _compile_peak(architecture, shape, engine, flags, tokens) if first else 0,
    )


def _mlp_peak(
    architecture: Architecture, shape: Shape, engine: EngineMemory, *, tokens: int, first: bool
) -> int:
    """The largest moment in an MLP, of three: multiply, multiply with each other, multiply again.

    Measured, each exactly but for a few bytes a token: 3 x 8192 + 3 x 28672 elements a token for
    the 70B in AWQ at 8192 tokens; 4 x 4096 + 3 x 12288 and cuBLAS's workspace for Qwen3-8B at 4096;
    3 x 4096 + 3 x 14336 and the workspace for Llama-3.1-8B at 2048 and 8192 (0.8.5.post1).
    """
    by_tokens = tokens * mlp_bytes_per_token(architecture, shape, engine, first=first)
    if architecture.experts is not None:
        return by_tokens + shape.card.cublas_workspace
    intermediate = -(-architecture.intermediate // shape.tensor_parallel)
    unit = architecture.dtype_bytes
    if is_4_bit(architecture):
        # The kernel's sums are there while gate and up are made, when their product is not yet.
        rows = min(-(-tokens // 64) * 64, engine.reduce_rows)
        gate_and_up = by_tokens - tokens * unit * intermediate + rows * 2 * intermediate * 4
        if not _keeps_gate_and_up(architecture):
            return max(by_tokens, gate_and_up)
        gate_and_up -= tokens * unit * architecture.hidden
        return max(by_tokens + rows * architecture.hidden * 4, gate_and_up)
    extra = shape.card.cublas_workspace
    if architecture.quantization and architecture.quantization.method == "aqlm":
        # More than a few tokens at once are multiplied by the matrix written out at 16 bits.
        # Source: optimized_dequantize_gemm in vllm/model_executor/layers/quantization/aqlm.py.
        extra += 2 * architecture.hidden * intermediate * 2
    return by_tokens + extra


def mlp_bytes_per_token(
    architecture: Architecture, shape: Shape, engine: EngineMemory, *, first: bool
) -> int:
    """What an MLP keeps for each token of the batch at its largest moment.

    Gate, up and their product, and three hidden states: the layer's input, its residual, the norm's
    output (four with 0.32.0); one more, the MLP's own output, where gate and up are still there
    when it is made.
    """
    hidden = engine.hidden + (1 if _keeps_gate_and_up(architecture) else 0)
    if not first:
        # What came from the stage before stays.
        hidden += engine.received
    if (experts := architecture.experts) is not None:
        # Of each of a token's experts: gate and up, or the expert's output where that is wider,
        # and their product, which later releases give as much room as the other. Sources:
        # fused_experts_impl in layers/fused_moe/fused_moe.py of 0.8.5.post1, and workspace_shapes
        # in layers/fused_moe/experts/triton_moe.py of 0.32.0. Never measured.
        width = -(-experts.intermediate // shape.tensor_parallel)
        outer = max(2 * width, architecture.hidden)
        inner = max(width, architecture.hidden) if engine.several_before else width
        mlp = experts.per_token * (outer + inner)
    else:
        mlp = 3 * -(-architecture.intermediate // shape.tensor_parallel)
    return architecture.dtype_bytes * (hidden * architecture.hidden + mlp)


def _keeps_gate_and_up(architecture: Architecture) -> bool:
    """Whether the model's MLP has a name for gate and up, which keeps them to its end.

    Source: Qwen2MLP.forward in models/qwen2.py, which Qwen3 has too, and Gemma2MLP and Gemma3MLP,
    against LlamaMLP.forward.
    """
    return architecture.name in (
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
    )


def is_4_bit(architecture: Architecture) -> bool:
    """Whether the weights are multiplied by Marlin, and not by cuBLAS."""
    quantization = architecture.quantization
    return quantization is not None and quantization.method in ("awq", "gptq", "packed")


def _sampler_peak(
    architecture: Architecture, shape: Shape, engine: EngineMemory, flags: Flags, tokens: int
) -> int:
    """While each sequence's logits are drawn from, with the batch's hidden states still there."""
    unit, sequences = architecture.dtype_bytes, min(flags.max_num_seqs, tokens)
    logits = sequences * architecture.vocabulary * engine.sampler_bytes
    if shape.tensor_parallel > 1:
        # Each card's part of the logits, gathered on every card.
        logits += sequences * architecture.vocabulary * unit // shape.tensor_parallel
    hidden = (tokens + sequences) * architecture.hidden * unit
    return hidden + logits + shape.card.cublas_workspace


def _compile_peak(
    architecture: Architecture, shape: Shape, engine: EngineMemory, flags: Flags, tokens: int
) -> int:
    """While Inductor tries the kernels of the first piece on made-up inputs: a second embedding.

    Measured as the embedding's bytes and two hidden states a token, within 1 MiB in six cases of
    13B to 70B; a third at 8 bits where activations are made fp8. Gone on the next start, which
    finds the kernels chosen: 2,369,832,960 bytes then become 1,811,941,376.
    """
    if not engine.tries_kernels or flags.enforce_eager or flags.compiled_before:
        return 0
    # Not where the embedding is split between cards. Measured with 0.32.0: a first start of the 70B
    # on two cards had its largest moment in an MLP.
    if engine.several_before and shape.tensor_parallel > 1:
        return 0
    padded = -(-architecture.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    rows = -(-padded // shape.tensor_parallel)
    per_token = 2 * architecture.dtype_bytes
    if architecture.quantization and architecture.quantization.method == "fp8":
        per_token += 1
    return architecture.hidden * (rows * architecture.dtype_bytes + tokens * per_token) + MIB
