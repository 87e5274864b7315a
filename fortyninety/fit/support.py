"""Say what a vLLM release cannot do with a checkpoint: its architecture, storage or windows."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.fit.architecture import Architecture
from fortyninety.fit.engine_memory import EngineMemory
from fortyninety.fit.flags import Flags

# The first release that serves an architecture, of those that 0.6 does not. Source:
# vllm/model_executor/models/registry.py of 0.6.3.post1, 0.8.5.post1 and 0.32.0: the first two are
# in the second and not in the first, the last in the third alone (vLLM's notes say from 0.10.1 on).
_FIRST = {
    "Qwen3ForCausalLM": (0, 8),
    "Qwen3MoeForCausalLM": (0, 8),
    "Gemma3ForCausalLM": (0, 8),
    "GptOssForCausalLM": (0, 11),
}


def unsupported(architecture: Architecture, engine: EngineMemory, flags: Flags) -> Iterator[str]:
    """Yield what the release does not serve of such a checkpoint, with whatever memory."""
    release, version = engine.release, engine.version
    if version < _FIRST.get(architecture.name, (0, 0)):
        yield f"engine {release} has no {architecture.name}: it came with a later release"
        return
    quantization = architecture.quantization
    if quantization is not None:
        method = quantization.method
        if method not in engine.methods:
            yield f"engine {release} has no {method} any more"
        elif version < (0, 7) and (quantization.block or quantization.zero_points):
            # Source: fp8.py and compressed_tensors.py in layers/quantization of 0.6.3.post1.
            kind = (
                "fp8 weights with a scale for each block"
                if quantization.block
                else str(quantization) + " weights with zero points"
            )
            yield f"engine {release} reads no {kind}: they came with a later release"
        if flags.kv_cache_dtype == "fp8_e5m2" and quantization.with_scaled_cache(version):
            # Source: Attention.__init__ in vllm/attention/layer.py of 0.6.3.post1 and 0.8.5.post1,
            # and in vllm/model_executor/layers/attention/attention.py of 0.33.0.
            yield (
                f"engine {release} refuses an fp8_e5m2 KV cache with a checkpoint stored as "
                f"{quantization}. Take kv_cache_dtype auto, of twice the size"
            )
    if architecture.soft_cap and version < (0, 7) and flags.kv_cache_dtype != "auto":
        # Source: XFormersImpl.__init__ in vllm/attention/backends/xformers.py of 0.6.3.post1.
        yield (
            f"engine {release} does not cap the attention of {architecture.name} with a KV cache "
            f"of {flags.kv_cache_dtype}. Take kv_cache_dtype auto, of twice the size"
        )
    yield from _windows(architecture, engine, flags)


def _windows(architecture: Architecture, engine: EngineMemory, flags: Flags) -> Iterator[str]:
    """What the engine of before V1 does not do with layers that look back only so far."""
    windows = {window for window in architecture.windows if window is not None}
    if not windows or not engine.before_v1:
        return
    shortest = min(windows)
    if None in architecture.windows:
        # Source: ModelConfig.__init__ in vllm/config.py of 0.6.3.post1, and of 0.8.5.post1 for the
        # backends that an fp8 KV cache gets.
        if flags.max_model_len > shortest:
            yield (
                f"engine {engine.release} serves {architecture.name}, whose layers alternate "
                f"between a sliding window and none, up to the window alone: {shortest} tokens"
                + (
                    ""
                    if engine.version < (0, 8)
                    else f" with kv_cache_dtype {flags.kv_cache_dtype}; with auto, to the end"
                )
            )
    elif flags.prefix_caching:
        # Source: CacheConfig._verify_prefix_caching in vllm/config.py of both.
        yield (
            f"engine {engine.release} reuses no known beginnings where a model has a sliding "
            f"window ({shortest} tokens): set enable_prefix_caching = False"
        )
