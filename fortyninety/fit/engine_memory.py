"""Model how each line of vLLM releases counts a card's memory, and what it leaves out.

All of them run the model once over a full batch at the start, and give to the KV cache what is left
of `gpu_memory_utilization` times the card after weights, the peak of that run, and whatever CUDA
took meanwhile outside PyTorch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fortyninety.fit.allocator import MIB
from fortyninety.fit.errors import FitError

# What CUDA takes outside PyTorch and inside the budget, on a card that is alone: loaded kernels,
# cuBLAS handles. Measured with 0.24.0 on an H100: 241,172,480 bytes for each of eleven cases from
# 1B to 70B (and 255,852,544 with the older runner).
OUTSIDE_PYTORCH = 230 * MIB
# The same of the older engine, which loads no compiled kernels. Measured with 0.8.5.post1 on an
# H200: 167,772,160 bytes for each of seven cases from 7B to 14B.
OUTSIDE_PYTORCH_OLD = 160 * MIB

# What more it takes on each of two cards, most of it NCCL's. Measured with 0.8.5.post1 without
# peer-to-peer: 478,150,656 bytes in all on two H100s, the same in six cases, and 473,956,352 to
# 476,053,504 on two H200s.
BETWEEN_CARDS = 296 * MIB
# The same where a card only hands on to the next stage. Measured with 0.8.5.post1 on two H200s, the
# 70B in two stages, NCCL over sockets: 257,949,696 and 327,155,712 bytes in all.
BETWEEN_STAGES = 152 * MIB

# Later releases set NCCL up before they look at the card for the first time, so that most of this
# is outside the budget, and kernels that NCCL's first sums load are no longer counted in it.
# Source: init_device in vllm/v1/worker/gpu_worker.py of 0.24.0 and 0.32.0. Measured with 0.32.0 on
# two H200s, the 70B: 995.6 MiB were gone before that look with tensor parallelism, in six starts,
# and 983.5 of stages, where 523.6 are gone on a card that is alone. Two stages with 0.24.0 come to
# what was measured with these (0.00 % a first start, -2.1 % a later one).
BETWEEN_CARDS_BEFORE = 472 * MIB
BETWEEN_STAGES_BEFORE = 460 * MIB
# What is then left in the budget: 69,206,016 bytes on each card that has a part of the output head,
# which cuBLAS multiplies, and none where there is none. Measured in the same starts.
OUTSIDE_PYTORCH_BETWEEN = 66 * MIB

# CUDA graphs of several cards, for each captured size: 124 MiB for 2, 224 for 4, 264 for 5 in all,
# by which much the budget is reduced (0.32.0, the same). Two stages: 70 for 4, less than the line.
_GRAPH_BETWEEN_CARDS = 38 * MIB


# What PyTorch holds and cannot use while prompts of many lengths are read, whatever the batch:
# pieces of the blocks that the activations of other lengths had. It comes on top of the budget, and
# kills an engine that started well. With FRAGMENTATION_SHARE an upper line over the MLP's part of
# the activations through three cases of 0.8.5.post1 on two H100s that were held to a 4090's memory,
# the 70B: at 264 MiB it lived with no more than 304, at 1056 with 584 and not with 434, at 2112 it
# died with 734 (docs/fit-measured.md).
FRAGMENTATION_BASE = 230 * MIB
# 0.32.0 the same way, on two H200s, at 296 MiB: three profiles lived with 212 MiB, and one died
# with 62. A line between, close to what lived; nobody measured where it ends.
_FRAGMENTATION_BASE_LATEST = 110 * MIB
# What more of it a stage has, which holds batches that came or are on their way. Measured with
# 0.32.0, a later start of the 70B in two stages on two H200s: with 462 MiB in all the last stage
# lived through the longest prompt and 110 s of load, with 362 and with 220 it died of that prompt.
# What lived, since nobody measured where it ends.
_FRAGMENTATION_BETWEEN_STAGES = 190 * MIB


@dataclass(frozen=True)
class EngineMemory:
    """What differs between releases for the arithmetic.

    `batched_tokens` is the batch of the measuring run where nothing is set, `whole_prompts` that it
    is never smaller than `max_model_len` because prompts are not cut; `sampler_bytes` is for each
    logit; `compiles` that torch.compile runs (and, the first time, tries its kernels on a copy of
    the embedding); `counts_graphs` and `counts_context` that CUDA graphs and the CUDA context come
    out of the budget; `reduce_rows` is how many rows of 32-bit sums the 4-bit kernel keeps beside
    its output; `received` is how many hidden states a later stage keeps of the one before;
    `captures_all` that CUDA graphs are captured for every size, whatever `max_num_seqs`.
    `outside_pytorch`, `between_cards`, `between_stages`, `buffers` and `graph_between_cards` (for a
    captured size, where it is not as on one card) are bytes. `several_before` says that NCCL is set
    up before the engine looks at the card, `hidden` how many hidden states an MLP has beside it,
    `fragmentation_base` is what fragmentation takes whatever the batch, and
    `fragmentation_between_stages` what more of it a stage has. `compared` says that the
    arithmetic was held against starts of this very release, `allowance` what it may take more
    outside the budget where it was not, in bytes. `before_v1` is vLLM's engine of before V1,
    `groups_layers` that layers with a window get KV cache for it alone, and `batches_in_flight` how
    many batches are on their way beside the stages' own.
    """

    release: str
    version: tuple[int, int]
    batched_tokens: int
    whole_prompts: bool
    sampler_bytes: int
    compiles: bool
    tries_kernels: bool
    counts_graphs: bool
    graph_sizes: int
    methods: frozenset[str]
    pipelines_over_boxes: bool
    counts_context: bool = False
    reduce_rows: int = 0
    outside_pytorch: int = OUTSIDE_PYTORCH
    between_cards: int = BETWEEN_CARDS
    between_stages: int = BETWEEN_STAGES
    received: int = 2
    buffers: int = 0
    captures_all: bool = False
    graph_between_cards: int | None = None
    several_before: bool = False
    hidden: int = 3
    fragmentation_base: int = FRAGMENTATION_BASE
    fragmentation_between_stages: int = 0
    block: int = 16
    compared: bool = False
    allowance: int = 0
    before_v1: bool = False
    groups_layers: bool = False
    batches_in_flight: int = 0


_OLD = frozenset({"awq", "gptq", "aqlm", "fp8", "packed", "int8"})
_NEW = frozenset({"awq", "gptq", "fp8", "packed", "int8", "mxfp4"})

# What 0.8's newer engine, which a 16-bit KV cache gets, keeps in PyTorch beside what others do.
# Measured with 0.8.5.post1 on H200s: 288 and 280 MiB in three cases of an 8B.
_FIRST_V1_BUFFERS = 288 * MIB
# What it takes for each captured size on several cards: 1.17 GiB in all for 67 (the same).
_FIRST_V1_GRAPH = 17 * MIB

# The 4-bit kernel of these releases (Marlin) adds up in 32 bits, for 64 times 16 rows of the batch
# and every column. Source: determine_reduce_max_m in csrc/quantization/gptq_marlin/gptq_marlin.cu.
# Measured with 0.8.5.post1, to the byte in five cases of four models.
_MARLIN_REDUCE_ROWS = 64 * 16

# The old engine's sampler only looks at the last token of each prompt, with a sort of the logits:
# 16-bit logits, 32-bit copy, sorted values, 64-bit indices, their softmax and its running sum.
# Source: vllm/model_executor/layers/sampler.py and vllm/v1/sample/ops/topk_topp_sampler.py.
_SORTING_SAMPLER = 2 + 4 + 4 + 8 + 4 + 4
# The new runner's: 16-bit logits and their 32-bit copy, nothing else in the measuring run. Source:
# vllm/v1/worker/gpu/sample/sampler.py of 0.24.0; measured: 6 bytes at 256 and at 1024 sequences.
_PLAIN_SAMPLER = 2 + 4


# The releases whose starts the arithmetic was held against (docs/fit-measured.md). The CPU build's
# cache is what its card's arguments say.
_COMPARED = ("0.8.5.post1", "0.24.0", "0.32.0", "0.32.0-cpu")

# 0.33.0 sets cuBLAS up before its first look at the card: OUTSIDE_PYTORCH_BETWEEN leaves the
# budget. Source: init_device in vllm/v1/worker/gpu_worker.py of 0.33.0. Counted on both sides until
# it is measured.
_SET_UP_EARLIER = OUTSIDE_PYTORCH_BETWEEN


def release_version(release: str) -> tuple[int, int]:
    """The first two numbers of a release, such as (0, 32) of "0.32.0".

    Raises FitError for a release before 0.6 or of no readable number.
    """
    match = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})[A-Za-z0-9.+-]{0,40}", release)
    if match is None or (int(match[1]), int(match[2])) < (0, 6):
        raise FitError(f"engine is {release!r}; expected a vLLM release of 0.6 or later")
    return int(match[1]), int(match[2])


def engine_memory(
    release: str, *, kv_cache_dtype: str, max_model_len: int, architecture: str = "LlamaForCausalLM"
) -> EngineMemory:
    """How `release` counts. `kv_cache_dtype` decides between 0.8.5's two engines.

    Raises FitError for a release before 0.6 or of no readable number.
    """
    version = release_version(release)
    # Source: EngineArgs._is_v1_supported_oracle of 0.8.5.post1: an fp8 cache needs FlashAttention
    # 3, which sm_89 has not, so it goes to the engine of before.
    if version < (0, 8) or (version < (0, 10) and kv_cache_dtype.startswith("fp8")):
        # Source: SchedulerConfig in vllm/config.py of both releases, and EngineArgs.
        long = max_model_len > 32768
        chunk = 512 if version < (0, 7) else 2048
        return EngineMemory(
            release=release,
            version=version,
            before_v1=True,
            compared=release in _COMPARED,
            batched_tokens=chunk if long else 2048,
            whole_prompts=not long,
            sampler_bytes=_SORTING_SAMPLER,
            compiles=False,
            tries_kernels=False,
            counts_graphs=False,
            graph_sizes=256,
            methods=_OLD,
            pipelines_over_boxes=False,
            reduce_rows=_MARLIN_REDUCE_ROWS,
            outside_pytorch=OUTSIDE_PYTORCH_OLD,
            # The residual that came is changed in place. Measured with 0.8.5.post1: 33,554,432
            # bytes more on the second of two stages, one hidden state of the 70B at 2048 tokens.
            received=1,
        )
    first_v1 = version < (0, 9)
    new_runner = version >= (0, 24) and architecture != "Qwen2ForCausalLM"
    # Measured with 0.24.0 on one card, and with 0.32.0; between the two nothing was.
    latest = version >= (0, 25)
    return EngineMemory(
        release=release,
        version=version,
        # Read in 0.32.0 and 0.33.0; vLLM's notes say from 0.10 on.
        groups_layers=version >= (0, 10),
        # Source: max_concurrent_batches in vllm/config/vllm.py of 0.32.0.
        batches_in_flight=1 if latest else 0,
        compared=release in _COMPARED,
        allowance=_SET_UP_EARLIER if version >= (0, 33) else 0,
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
        # Source: determine_available_memory in vllm/v1/worker/gpu_worker.py of 0.8.5.post1 takes
        # off whatever of the card is not free, of other processes too.
        counts_context=first_v1,
        buffers=_FIRST_V1_BUFFERS if first_v1 else 0,
        captures_all=first_v1,
        graph_between_cards=_FIRST_V1_GRAPH
        if first_v1
        else _GRAPH_BETWEEN_CARDS
        if latest
        else None,
        reduce_rows=_MARLIN_REDUCE_ROWS if first_v1 else 0,
        several_before=version >= (0, 24),
        # Measured with 0.32.0, the 70B at 2048 tokens, a first start: 310,380,544 bytes on each of
        # two cards, 4 x 8192 + 3 x 14336 elements a token; and on the second of two stages
        # 551,739,904, with the two hidden states that came. Later starts have 22 to 48 MiB less.
        hidden=4 if latest else 3,
        fragmentation_base=_FRAGMENTATION_BASE_LATEST if latest else FRAGMENTATION_BASE,
        fragmentation_between_stages=_FRAGMENTATION_BETWEEN_STAGES if latest else 0,
        # Source: --nnodes and --headless for pipeline parallelism without Ray; run with 0.32.0.
        pipelines_over_boxes=version >= (0, 32),
    )
