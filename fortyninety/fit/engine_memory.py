"""How each line of vLLM releases counts a card's memory: what it measures, and what it leaves out.

All of them run the model once over a full batch at the start, and give to the KV cache what is left
of `gpu_memory_utilization` times the card after weights, the peak of that run, and whatever CUDA
took meanwhile outside PyTorch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fortyninety.fit.errors import FitError


@dataclass(frozen=True)
class EngineMemory:
    """What differs between releases for the arithmetic.

    `batched_tokens` is the batch of the measuring run where nothing is set, `whole_prompts` that it
    is never smaller than `max_model_len` because prompts are not cut; `sampler_bytes` is for each
    logit; `compiles` that torch.compile runs (and, the first time, tries its kernels on a copy of
    the embedding); `counts_graphs` that CUDA graphs come out of the budget.
    """

    release: str
    batched_tokens: int
    whole_prompts: bool
    sampler_bytes: int
    compiles: bool
    tries_kernels: bool
    counts_graphs: bool
    graph_sizes: int
    methods: frozenset[str]
    pipelines_over_boxes: bool
    block: int = 16


_OLD = frozenset({"awq", "gptq", "aqlm", "fp8"})
_NEW = frozenset({"awq", "gptq", "fp8"})

# The old engine's sampler only looks at the last token of each prompt, with a sort of the logits:
# 16-bit logits, 32-bit copy, sorted values, 64-bit indices, their softmax and its running sum.
# Source: vllm/model_executor/layers/sampler.py and vllm/v1/sample/ops/topk_topp_sampler.py.
_SORTING_SAMPLER = 2 + 4 + 4 + 8 + 4 + 4
# The new runner's: 16-bit logits and their 32-bit copy, nothing else in the measuring run. Source:
# vllm/v1/worker/gpu/sample/sampler.py of 0.24.0; measured: 6 bytes at 256 and at 1024 sequences.
_PLAIN_SAMPLER = 2 + 4


def engine_memory(
    release: str, *, kv_cache_dtype: str, max_model_len: int, architecture: str = "LlamaForCausalLM"
) -> EngineMemory:
    """How `release` counts. `kv_cache_dtype` decides between 0.8.5's two engines.

    Raises FitError for a release before 0.6 or of no readable number.
    """
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is None or (int(match[1]), int(match[2])) < (0, 6):
        raise FitError(f"engine is {release!r}; expected a vLLM release of 0.6 or later")
    version = (int(match[1]), int(match[2]))
    # Source: EngineArgs._is_v1_supported_oracle of 0.8.5.post1: an fp8 cache needs FlashAttention
    # 3, which sm_89 has not, so it goes to the engine of before.
    if version < (0, 8) or (version < (0, 10) and kv_cache_dtype.startswith("fp8")):
        # Source: SchedulerConfig in vllm/config.py of both releases, and EngineArgs.
        long = max_model_len > 32768
        chunk = 512 if version < (0, 7) else 2048
        return EngineMemory(
            release=release,
            batched_tokens=chunk if long else 2048,
            whole_prompts=not long,
            sampler_bytes=_SORTING_SAMPLER,
            compiles=False,
            tries_kernels=False,
            counts_graphs=False,
            graph_sizes=256,
            methods=_OLD,
            pipelines_over_boxes=False,
        )
    new_runner = version >= (0, 24) and architecture != "Qwen2ForCausalLM"
    return EngineMemory(
        release=release,
        # Source: EngineArgs.get_batch_defaults, cards of less than 70 GiB, API server.
        batched_tokens=2048,
        whole_prompts=False,
        sampler_bytes=_PLAIN_SAMPLER if new_runner else _SORTING_SAMPLER,
        compiles=True,
        # Source: benchmark_combo_kernel in vllm/config/compilation.py, there in 0.24.0 and 0.32.0,
        # not in 0.8.5.post1. Measured at 0.24.0.
        tries_kernels=version >= (0, 20),
        # Source: profile_cudagraph_memory, from 0.21 on; 0.24's new runner answers 0.
        counts_graphs=version >= (0, 21) and not (new_runner and version < (0, 25)),
        graph_sizes=512,
        methods=_OLD if version < (0, 10) else _NEW,
        # Source: --nnodes and --headless for pipeline parallelism without Ray; run with 0.32.0.
        pipelines_over_boxes=version >= (0, 32),
    )
