"""Group a model's layers as an engine shares its blocks of KV cache out to them."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.fit.windows import Windows


@dataclass(frozen=True)
class KvLayout:
    """Groups of layers, each with its window or None. A block is of every layer of one group.

    Each group has blocks of its own for a sequence, all of one size and out of one pool.
    """

    groups: tuple[tuple[tuple[int, ...], int | None], ...]

    @property
    def plain(self) -> bool:
        """Whether every layer keeps every token, so that a block is 16 tokens of the sequence."""
        return len(self.groups) == 1 and self.groups[0][1] is None

    def layers_on(self, stage: range) -> int:
        """How many layers a block is stored for on a stage: the most that a group has there."""
        return max(sum(layer in stage for layer in layers) for layers, _ in self.groups)

    def blocks(self, tokens: int, in_flight: int, block: int) -> int:
        """How many blocks one sequence of `tokens` takes, `in_flight` of them not yet settled.

        Source: max_admission_blocks_per_request in vllm/v1/kv_cache_interface.py of 0.32.0: a
        window does not begin where a block does, which takes one more.
        """
        total = 0
        for _, window in self.groups:
            if window is None:
                total += -(-tokens // block)
            else:
                total += -(-min(window - 1 + in_flight, tokens) // block) + 1
        return total


def full_layout(layers: int) -> KvLayout:
    """Every layer keeps every token: releases that know no other, and models without windows."""
    return KvLayout(((tuple(range(layers)), None),))


def grouped_layout(windows: Windows) -> KvLayout:
    """Layers of one kind are split into groups as large as the smallest kind.

    As large as the largest where that is not half as many again. Source:
    _get_kv_cache_groups_uniform_page_size in vllm/v1/core/kv_cache_utils.py of 0.32.0, and in
    kv_cache_planning.py of 0.33.0.
    """
    kinds: dict[int | None, list[int]] = {}
    for layer, window in enumerate(windows):
        kinds.setdefault(window, []).append(layer)
    counts = [len(layers) for layers in kinds.values()]
    size = max(counts) if max(counts) < min(counts) * 1.5 else min(counts)
    groups = []
    for window, layers in kinds.items():
        number = -(-len(layers) // size)
        groups += [(tuple(layers[first::number]), window) for first in range(number)]
    return KvLayout(tuple(groups))
