"""Name the engine's flags that the answer depends on, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.fit.architecture import Architecture
from fortyninety.fit.engine_memory import EngineMemory
from fortyninety.fit.errors import FitError

# Of a length or a number of sequences: more than any model has.
LARGEST = 2**31 - 1
KV_DTYPE_BYTES = {"auto": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}


@dataclass(frozen=True)
class Flags:
    """The engine's flags that the answer depends on; lengths in tokens.

    `max_num_batched_tokens` is None for the release's own. `compiled_before` asks for a later
    start: the first start of a configuration compiles, and leaves less for the KV cache.
    `prefix_caching` is whether known beginnings are reused.
    """

    max_model_len: int
    max_num_seqs: int
    kv_cache_dtype: str = "fp8"
    gpu_memory_utilization: float = 0.95
    max_num_batched_tokens: int | None = None
    enforce_eager: bool = False
    compiled_before: bool = False
    prefix_caching: bool = True


def check_flags(flags: Flags, architecture: Architecture) -> None:
    """Refuse flags that no engine takes. Raises FitError."""
    if flags.kv_cache_dtype not in KV_DTYPE_BYTES:
        known = ", ".join(KV_DTYPE_BYTES)
        raise FitError(f"kv_cache_dtype is {flags.kv_cache_dtype!r}; expected one of {known}")
    if not 0 < flags.gpu_memory_utilization <= 1:
        raise FitError(
            f"gpu_memory_utilization is {flags.gpu_memory_utilization}; expected above 0 to 1"
        )
    for name in ("max_model_len", "max_num_seqs", "max_num_batched_tokens"):
        value = getattr(flags, name)
        if value is not None and not 1 <= value <= LARGEST:
            raise FitError(f"{name} is {value}; expected 1 to {LARGEST}")
    if flags.max_model_len > architecture.positions:
        raise FitError(
            f"max_model_len is {flags.max_model_len}; expected at most the checkpoint's "
            f"{architecture.positions} positions"
        )
    batch = flags.max_num_batched_tokens
    if batch is not None and batch < flags.max_num_seqs:
        raise FitError(
            f"max_num_batched_tokens is {batch}; expected at least max_num_seqs, "
            f"{flags.max_num_seqs}"
        )


def batched_tokens(engine: EngineMemory, flags: Flags) -> int:
    """Tokens in the batch of the measuring run."""
    if flags.max_num_batched_tokens is not None:
        return flags.max_num_batched_tokens
    if engine.whole_prompts:
        return max(flags.max_model_len, engine.batched_tokens)
    return max(engine.batched_tokens, flags.max_num_seqs)


def captured_sizes(engine: EngineMemory, flags: Flags) -> int:
    """How many batch sizes CUDA graphs are captured for.

    Source: VllmConfig._set_cudagraph_sizes: 1, 2, 4, by 8 up to 256, then by 16, up to twice
    max_num_seqs and at most 512; 0.8.5 stops at max_num_seqs and 256.
    """
    if engine.captures_all:
        # Source: VllmConfig._set_cudagraph_sizes of 0.8.5.post1, for its newer engine.
        return len([1, 2, 4, *range(8, engine.graph_sizes + 1, 8)])
    most = flags.max_num_seqs if engine.graph_sizes == 256 else flags.max_num_seqs * 2
    most = min(most, engine.graph_sizes)
    sizes = [1, 2, 4, *range(8, 256, 8), *range(256, engine.graph_sizes + 1, 16)]
    return sum(size <= max(most, 1) for size in sizes)
