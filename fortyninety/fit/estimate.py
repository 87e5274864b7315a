"""Compute whether a checkpoint fits a shape, and how many tokens of KV cache are then left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from fortyninety.fit.activations import activation_peak, is_4_bit, mlp_bytes_per_token
from fortyninety.fit.allocator import MIB
from fortyninety.fit.architecture import Architecture
from fortyninety.fit.engine_memory import (
    BETWEEN_CARDS_BEFORE,
    BETWEEN_STAGES_BEFORE,
    OUTSIDE_PYTORCH_BETWEEN,
    EngineMemory,
    engine_memory,
)
from fortyninety.fit.flags import (
    KV_DTYPE_BYTES,
    Flags,
    batched_tokens,
    captured_sizes,
    check_flags,
)
from fortyninety.fit.kernels import without_kernels
from fortyninety.fit.kv_layout import KvLayout, full_layout, grouped_layout
from fortyninety.fit.shape import Shape, stage_layers
from fortyninety.fit.support import unsupported
from fortyninety.fit.weights import Weights

# What a process takes of a card before anything is in it, outside PyTorch and outside the engine's
# budget. Measured on an H100: 552,402,944 bytes. It grows with the multiprocessors, of which an
# RTX 4090 has 128 and that H100 132.
CUDA_CONTEXT = 552_402_944

# CUDA graphs: a base, and each captured batch size. An upper line through eight measured cases of
# 4 to 51 sizes, 16 to 80 layers (0.24.0, H100): 0.07 GiB at 4, 0.19 at 19, 0.39 at 51; and three of
# 0.8.5.post1 on two H100s: 0.04 GiB at 1, 0.08 at 3, 0.10 at 4.
GRAPH_BASE = 72 * MIB
GRAPH_EACH = 8 * MIB

# How fragmentation grows with the MLP's part of the activations, over the release's own base
# (engine_memory.py).
FRAGMENTATION_SHARE = 0.3

# What is not known of an RTX 4090, none of which was ever measured here: its CUDA context, and how
# much its driver reserves. An allowance.
UNKNOWN = 100 * MIB

# What 4-bit weights take beyond their sizes, in bytes a layer: blocks of PyTorch's allocator whose
# remainder is too small to be split off, and the kernel's workspace. Measured for the 70B, 0.40 MiB
# (0.8.5.post1, half of it on each of two cards) and 0.32 (0.24.0), and 0.45 for a 13B; 1.6 for a
# 34B, whose sizes are odd.
ROUNDING_A_LAYER = MIB * 2 // 5


# Of what checkpoints of some kind were started and the arithmetic held against them
# (docs/fit-measured.md).
_COMPARED = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
_NEVER_STARTED = ("aqlm", "packed", "int8", "mxfp4")


@dataclass(frozen=True)
class CardUse:
    """One card's memory in bytes.

    `graphs` and `context` (unless counted), `fragmentation` and `unknown` are outside the budget.
    `kv_block` is a block of KV cache, `kv_token` what one token of a sequence of full length takes.
    """

    stage: int
    layers: range
    usable: int
    budget: int
    weights: int
    activations: int
    outside_pytorch: int
    graphs: int
    graphs_counted: bool
    context: int
    context_counted: bool
    fragmentation: int
    unknown: int
    kv_block: int
    kv_token: int
    kv: int

    @property
    def available(self) -> int:
        """What is left of the budget for the KV cache; negative where the weights alone exceed."""
        return self.budget - self.weights - self.activations - self.outside_pytorch - self._counted

    @property
    def overhead(self) -> int:
        """All that is neither weights nor KV cache, in the budget or not."""
        return self.activations + self.outside_pytorch + self._counted + self.outside_budget

    @property
    def outside_budget(self) -> int:
        """What comes on top of the budget while the longest prompts are read."""
        not_counted = self.graphs + self.context - self._counted
        return not_counted + self.fragmentation + self.unknown

    @property
    def _counted(self) -> int:
        graphs = self.graphs if self.graphs_counted else 0
        return graphs + (self.context if self.context_counted else 0)

    @property
    def most_utilization(self) -> float:
        """The highest gpu_memory_utilization, in hundredths, that leaves room for all of that."""
        return math.floor((self.usable - self.outside_budget) / self.usable * 100) / 100

    @property
    def free(self) -> int:
        """What nobody takes; negative where it does not fit."""
        return self.usable - self.weights - self.overhead - self.kv


@dataclass(frozen=True)
class Fit:
    """The answer: the verdict with its reasons, and the arithmetic of each card.

    `missing` is what the engine cannot do at all, however much memory there is; `reasons` has it
    too, before those of memory.
    """

    weights: Weights
    shape: Shape
    engine: EngineMemory
    flags: Flags
    batched_tokens: int
    cards: tuple[CardUse, ...]
    kv_tokens: int
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def fits(self) -> bool:
        """Whether the engine would start, and live through a prompt of `max_model_len`."""
        return not self.reasons

    @property
    def concurrency(self) -> float:
        """How many sequences of `max_model_len` tokens fit into the KV cache at once."""
        return self.kv_tokens / self.flags.max_model_len


def estimate(weights: Weights, shape: Shape, release: str, flags: Flags) -> Fit:
    """The memory of every card, and whether it suffices.

    Raises FitError for flags that no engine takes, ShapeError for a split that is impossible.
    """
    architecture = weights.architecture
    check_flags(flags, architecture)
    engine = engine_memory(
        release,
        kv_cache_dtype=flags.kv_cache_dtype,
        max_model_len=flags.max_model_len,
        architecture=architecture.name,
    )
    tokens = batched_tokens(engine, flags)
    layout = full_layout(architecture.layers)
    if engine.groups_layers and any(architecture.windows):
        layout = grouped_layout(architecture.windows)
    in_flight = tokens * (shape.pipeline_parallel + engine.batches_in_flight)
    one = layout.blocks(flags.max_model_len, in_flight, engine.block)
    asked = _Asked(weights, shape, engine, flags, tokens, layout, one)
    stages = stage_layers(architecture.layers, shape.pipeline_parallel)
    uses = [_card_use(asked, stage, layers) for stage, layers in enumerate(stages)]
    # Every stage gets as many blocks as the poorest can hold. Source: get_kv_cache_configs in
    # vllm/v1/core/kv_cache_utils.py; the older engine takes the minimum over its workers as well.
    blocks = min(max(0, use.available) // use.kv_block for use in uses)
    kv_tokens = blocks * engine.block
    if not layout.plain:
        # Source: get_kv_cache_capacity in vllm/v1/core/kv_cache_utils.py of 0.32.0.
        kv_tokens = int(blocks / one * flags.max_model_len)
    cards = tuple(
        _with_kv(use, blocks * use.kv_block) for use in uses for _ in range(shape.tensor_parallel)
    )
    missing = tuple(_missing(architecture, shape, engine, flags))
    reasons = (*missing, *_reasons(flags, cards=cards, kv_tokens=kv_tokens))
    warnings = (
        tuple(_warnings(architecture, shape, engine, flags, kv_tokens)) if not reasons else ()
    )
    return Fit(weights, shape, engine, flags, tokens, cards, kv_tokens, reasons, missing, warnings)


def kv_bytes_per_token(
    architecture: Architecture, layers: int, tensor_parallel: int, dtype: str
) -> int:
    """Bytes of KV cache for a token on one card: a key and a value for each layer and head there.

    Heads fewer than cards are kept whole on several. Source: ModelConfig.get_num_kv_heads.
    """
    heads = max(1, architecture.kv_heads // tensor_parallel)
    return layers * 2 * heads * architecture.head_dim * KV_DTYPE_BYTES[dtype]


@dataclass(frozen=True)
class _Asked:
    """What every stage is computed from; `one` is the blocks that a sequence of full length takes.

    `tokens` is the batch of the measuring run.
    """

    weights: Weights
    shape: Shape
    engine: EngineMemory
    flags: Flags
    tokens: int
    layout: KvLayout
    one: int


def _card_use(asked: _Asked, stage: int, layers: range) -> CardUse:
    weights, shape, engine, flags = asked.weights, asked.shape, asked.engine, asked.flags
    tokens, layout, one = asked.tokens, asked.layout, asked.one
    architecture, card = weights.architecture, shape.card
    first, last = stage == 0, stage == shape.pipeline_parallel - 1
    on_card = weights.on_card(layers, first=first, last=last, tensor_parallel=shape.tensor_parallel)
    if is_4_bit(architecture):
        on_card += ROUNDING_A_LAYER * len(layers)
    activations = activation_peak(
        architecture, shape, engine, flags, tokens, first=first, last=last
    )
    graphs = 0
    if not flags.enforce_eager:
        each = engine.graph_between_cards if shape.tensor_parallel > 1 else None
        graphs = GRAPH_BASE + (each or GRAPH_EACH) * captured_sizes(engine, flags)
    block = engine.block * kv_bytes_per_token(
        architecture, layout.layers_on(layers), shape.tensor_parallel, flags.kv_cache_dtype
    )
    return CardUse(
        stage=stage,
        layers=layers,
        usable=card.usable,
        # Source: request_memory in vllm/v1/worker/utils.py.
        budget=math.ceil(card.usable * flags.gpu_memory_utilization),
        weights=on_card,
        activations=activations,
        outside_pytorch=_outside_pytorch(shape, engine, last=last),
        graphs=graphs,
        graphs_counted=engine.counts_graphs,
        context=CUDA_CONTEXT + _set_up_before(shape, engine),
        context_counted=engine.counts_context,
        fragmentation=engine.fragmentation_base
        + (engine.fragmentation_between_stages if shape.pipeline_parallel > 1 else 0)
        + int(
            tokens
            * mlp_bytes_per_token(architecture, shape, engine, first=first)
            * FRAGMENTATION_SHARE
        ),
        unknown=UNKNOWN + engine.allowance,
        kv_block=block,
        kv_token=block // engine.block if layout.plain else one * block // flags.max_model_len,
        kv=0,
    )


def _outside_pytorch(shape: Shape, engine: EngineMemory, *, last: bool) -> int:
    """What CUDA takes beside PyTorch and in the budget, in bytes, NCCL's part with it."""
    several = shape.tensor_parallel * shape.pipeline_parallel > 1
    if several and engine.several_before:
        return OUTSIDE_PYTORCH_BETWEEN if last else 0
    if shape.tensor_parallel > 1:
        return engine.outside_pytorch + engine.between_cards
    if several:
        return engine.outside_pytorch + engine.between_stages
    return engine.outside_pytorch


def _set_up_before(shape: Shape, engine: EngineMemory) -> int:
    """What speaking with other cards takes before the engine first looks at the card, in bytes."""
    if not engine.several_before:
        return 0
    if shape.tensor_parallel > 1:
        return BETWEEN_CARDS_BEFORE
    return BETWEEN_STAGES_BEFORE if shape.pipeline_parallel > 1 else 0


def _with_kv(use: CardUse, kv: int) -> CardUse:
    return CardUse(**{**vars(use), "kv": kv})


def _missing(
    architecture: Architecture, shape: Shape, engine: EngineMemory, flags: Flags
) -> Iterator[str]:
    """What the engine cannot do, with whatever memory."""
    yield from unsupported(architecture, engine, flags)
    if len(shape.boxes) > 1 and not engine.pipelines_over_boxes:
        yield f"engine {engine.release} serves no model over several boxes by itself"
    yield from without_kernels(engine, shape.card, flags, architecture)


def _reasons(flags: Flags, *, cards: tuple[CardUse, ...], kv_tokens: int) -> list[str]:
    reasons = []
    worst = min(cards, key=lambda use: use.available)
    if worst.available <= 0:
        reasons.append(
            f"a card's budget is {_gib(worst.budget)} and {_gib(worst.budget - worst.available)} "
            f"of it are taken without any KV cache, {_gib(worst.weights)} by weights"
        )
    elif kv_tokens < flags.max_model_len:
        reasons.append(
            f"the KV cache holds {kv_tokens} tokens and one sequence of max_model_len takes "
            f"{flags.max_model_len}"
        )
    # Of stages the last takes most, and from the second start on it has no more to spare.
    tight = max(cards, key=lambda use: use.outside_budget)
    room, outside = tight.usable - tight.budget, tight.outside_budget
    # What does not start dies of no prompt.
    if kv_tokens >= flags.max_model_len and room < outside:
        reasons.append(
            f"the engine would start, and end with CUDA out of memory as it reads long prompts: "
            f"gpu_memory_utilization {flags.gpu_memory_utilization} leaves "
            f"{_gib(room)} of a card for what lies outside the budget, and that takes "
            f"{_gib(outside)}, {_gib(tight.fragmentation)} of it fragmentation: at most "
            f"{tight.most_utilization}"
        )
    return reasons


def _warnings(
    architecture: Architecture, shape: Shape, engine: EngineMemory, flags: Flags, kv_tokens: int
) -> list[str]:
    warnings = []
    concurrency = kv_tokens / flags.max_model_len
    if concurrency < flags.max_num_seqs:
        warnings.append(
            f"{flags.max_num_seqs} sequences may run at once and the KV cache holds "
            f"{concurrency:.1f} of full length: longer ones wait, or are computed again"
        )
    if architecture.soft_cap and engine.before_v1 and flags.kv_cache_dtype != "auto":
        # Source: XFormersImpl.__init__ in vllm/attention/backends/xformers.py of 0.8.5.post1.
        warnings.append(
            f"engine {engine.release} leaves out how {architecture.name} caps its attention where "
            f"the KV cache is {flags.kv_cache_dtype}: answers are slightly off"
        )
    if shape.tensor_parallel > 1 and shape.card.peer_to_peer:
        warnings.append(
            "these cards read each other's memory: what the engine takes for that was never "
            "measured, and is more than this says"
        )
    if architecture.name not in _COMPARED or architecture.quantization_method in _NEVER_STARTED:
        warnings.append(
            f"no {architecture.name} in {architecture.method} was ever started to compare with: "
            "computed from vLLM's source"
        )
    if not engine.compared:
        warnings.append(
            f"the memory of engine {engine.release} was never compared with a start of it: "
            "computed from its source and from releases that were"
        )
    return warnings


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
