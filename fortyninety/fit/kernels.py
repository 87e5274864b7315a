"""Say which kernels a vLLM release has not for a card, before anything is fetched."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.fit.architecture import Architecture
from fortyninety.fit.engine_memory import EngineMemory
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import Card

# The first compute capability of Blackwell's cards for workstations, and the first release whose
# wheel is built for it, with CUDA 12.8. Source: the versions of torch that each release asks for:
# 2.4.0 (0.6.3.post1, CUDA 12.1) and 2.6.0 (0.8.5.post1, CUDA 12.4) have code up to 9.0.
_BLACKWELL = (12, 0)
_FIRST_FOR_BLACKWELL = (0, 9)

# From here on a card converts 8-bit floats of four exponent bits itself, and Triton compiles for
# them. Below, it says "type fp8e4nv not supported in this architecture".
_ADA = (8, 9)


def without_kernels(
    engine: EngineMemory, card: Card, flags: Flags, architecture: Architecture
) -> Iterator[str]:
    """Yield what the release has no kernel for on such a card; nothing of a card nobody named."""
    release, version, capability = engine.release, engine.version, card.capability
    quantization = architecture.quantization
    if capability is None:
        return
    named = f"{card.name}, of compute capability {capability[0]}.{capability[1]}"
    if capability >= _BLACKWELL and version < _FIRST_FOR_BLACKWELL:
        yield (
            f"engine {release} has no kernels for {named}: its wheel is built with a CUDA before "
            "12.8, the first that knows it. Take engine 0.32.0 or later"
        )
        return
    if capability >= _BLACKWELL and quantization is not None and quantization.method == "int8":
        # Source: what its compiled kernel says, "Int8 not supported on SM" (0.32.0).
        yield (
            f"engine {release} multiplies 8-bit whole numbers on no {named}. Take a checkpoint of "
            "8-bit floats"
        )
    if capability >= _ADA:
        return
    if flags.kv_cache_dtype.startswith("fp8"):
        yield from _fp8_cache(release, version, named, flags)
    if quantization is not None and quantization.block is not None and version < (0, 9):
        # Source: Fp8LinearMethod.__init__ in layers/quantization/fp8.py of 0.8.5.post1, which
        # leaves Marlin for such weights, and the Triton kernel that it takes instead.
        yield (
            f"engine {release} multiplies fp8 weights with a scale for each block by a kernel that "
            f"needs compute capability 8.9, and the card is {named}"
        )
    elif architecture.quantization_method == "fp8" and architecture.experts and version < (0, 9):
        # Source: Fp8MoEMethod in the same file of both releases, which has no Marlin.
        yield (
            f"engine {release} multiplies experts of fp8 weights by a kernel that needs compute "
            f"capability 8.9, and the card is {named}"
        )


def _fp8_cache(release: str, version: tuple[int, int], named: str, flags: Flags) -> Iterator[str]:
    if version >= (0, 9):
        # Source: TritonAttentionImpl.__init__ in vllm/v1/attention/backends/triton_attn.py of
        # 0.32.0 and 0.33.0; before it the kernel did not compile (vllm-project/vllm#26431).
        yield (
            f"engine {release} keeps no {flags.kv_cache_dtype} KV cache on {named}: its attention "
            "in Triton needs 8.9. Take kv_cache_dtype auto, of twice the size"
        )
    elif flags.kv_cache_dtype != "fp8_e5m2":
        # Source: context_attention_fwd in vllm/attention/ops/prefix_prefill.py of both releases.
        yield (
            f"engine {release} reads a KV cache of {flags.kv_cache_dtype} by a kernel that needs "
            f"compute capability 8.9 where a prompt is cut or its beginning known, and the card is "
            f"{named}. Take kv_cache_dtype fp8_e5m2, of the same size, or auto, of twice"
        )
