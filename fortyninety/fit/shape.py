"""Describe the cards that a model is spread over: tensor parallel in a box, pipeline over all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fortyninety.fit.allocator import MIB
from fortyninety.fit.errors import ShapeError
from fortyninety.text.short_repr import short_repr

# What of a card's memory the driver keeps for itself, at most: 1.5 % and no more than 640 MiB.
# Measured (nvidia-smi -q, "Reserved"): 480 of 81559 MiB on an H100, 616 of 143771 MiB on an H200.
# Claimed by many owners of 24564 MiB cards: PyTorch's "total capacity of 23.64 GiB" and "23.65 GiB"
# leave 346 to 357 MiB, where the rule takes 368.
RESERVED_SHARE = 0.015
RESERVED_AT_MOST = 640 * MIB

# cuBLAS's workspace: 32 MiB on Hopper, 8 MiB and 128 KiB elsewhere. Source: PyTorch's
# aten/src/ATen/cuda/CublasHandlePool.cpp, parseChosenWorkspaceSize.
CUBLAS_WORKSPACE = 4096 * 2 * 1024 + 16 * 8 * 1024
CUBLAS_WORKSPACE_HOPPER = 32 * MIB

# MiB of the smallest card that is asked about: of 8 GB, less what some are short of it.
LEAST_MEMORY = 7168


@dataclass(frozen=True)
class Card:
    """A card: `usable` is what CUDA calls its total memory, in bytes.

    `name` is what nvidia-smi calls it, `capability` its CUDA compute capability and `peer_to_peer`
    whether it reads another's memory, `bandwidth` how much of its own it reads, in GB/s: empty or
    None where nobody said which card it is.
    """

    usable: int
    cublas_workspace: int = CUBLAS_WORKSPACE
    name: str = ""
    capability: tuple[int, int] | None = None
    peer_to_peer: bool | None = None
    bandwidth: int | None = None

    @classmethod
    def of_memory(
        cls,
        memory: int,
        *,
        name: str = "",
        capability: tuple[int, int] | None = None,
        peer_to_peer: bool | None = None,
        bandwidth: int | None = None,
    ) -> Card:
        """The card of which nvidia-smi says `memory` MiB in all."""
        total = memory * MIB
        usable = total - min(int(total * RESERVED_SHARE), RESERVED_AT_MOST)
        return cls(
            usable,
            name=name,
            capability=capability,
            peer_to_peer=peer_to_peer,
            bandwidth=bandwidth,
        )


@dataclass(frozen=True)
class Box:
    """A host with its cards, and the engine release it runs where that matters."""

    cards: tuple[Card, ...]
    name: str = ""
    engine: str | None = None


@dataclass(frozen=True)
class Shape:
    """One model over boxes: `tensor_parallel` cards carry each of `pipeline_parallel` stages."""

    boxes: tuple[Box, ...]
    tensor_parallel: int
    pipeline_parallel: int

    @property
    def card(self) -> Card:
        """What every card is like; `make_shape` refuses mixed ones."""
        return self.boxes[0].cards[0]

    @property
    def cards(self) -> int:
        """How many cards carry the model."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def in_words(self) -> str:
        """The shape as people say it: "2 boxes, 1 card each"."""
        boxes = len(self.boxes)
        each = self.cards // boxes
        cards = f"{each} card{'' if each == 1 else 's'}"
        return f"one box, {cards}" if boxes == 1 else f"{boxes} boxes, {cards} each"


def make_shape(
    boxes: Sequence[Box], tensor_parallel: int | None = None, pipeline_parallel: int | None = None
) -> Shape:
    """The shape of one model over `boxes`.

    Without numbers, every card of a box is one tensor-parallel group, and every box one stage.
    Raises ShapeError, with everything that is wrong, for what no engine serves one model from.
    """
    wrong = list(_box_problems(boxes))
    if wrong:
        raise ShapeError("; ".join(wrong))
    per_box = len(boxes[0].cards)
    for name, size in (("tensor", tensor_parallel), ("pipeline", pipeline_parallel)):
        if size is not None and size < 1:
            raise ShapeError(f"{name}_parallel_size is {size}; expected at least 1")
    pipeline = len(boxes) if pipeline_parallel is None else pipeline_parallel
    tensor = tensor_parallel
    if tensor is None:
        tensor = max(1, per_box * len(boxes) // pipeline)
    if tensor > per_box:
        raise ShapeError(
            f"tensor_parallel_size is {tensor}; expected at most the {per_box} cards of a box "
            "(between boxes only pipeline parallelism is fast enough)"
        )
    if tensor * pipeline > per_box * len(boxes):
        raise ShapeError(
            f"tensor_parallel_size {tensor} times pipeline_parallel_size {pipeline} needs "
            f"{tensor * pipeline} cards; there are {per_box * len(boxes)}"
        )
    if pipeline % len(boxes):
        raise ShapeError(
            f"pipeline_parallel_size is {pipeline}; expected a multiple of the {len(boxes)} boxes"
        )
    return Shape(tuple(boxes), tensor, pipeline)


def one_stage_a_box(shape: Shape) -> Shape:
    """The shape, where a deploy can bring it about. Raises ShapeError for stages within a box."""
    if shape.pipeline_parallel != len(shape.boxes):
        boxes = "one box" if len(shape.boxes) == 1 else f"{len(shape.boxes)} boxes"
        raise ShapeError(
            f"pipeline_parallel_size is {shape.pipeline_parallel} over {boxes}; expected one stage "
            "a box, which is all that a deploy sets up"
        )
    return shape


def _box_problems(boxes: Sequence[Box]) -> list[str]:
    if not boxes or not any(box.cards for box in boxes):
        return ["there are no cards; expected at least one"]
    wrong = [f"{_named(box, i)} has no cards" for i, box in enumerate(boxes) if not box.cards]
    sizes = sorted({card.usable for box in boxes for card in box.cards})
    if sizes[0] <= 0:
        wrong.append("a card's driver says that it has no memory; expected some")
    if len(sizes) > 1:
        listed = " and ".join(f"{size // MIB} MiB" for size in sizes)
        wrong.append(
            f"the cards have different sizes, {listed} usable; expected cards of one size: every "
            "card of a model gets the same share, so the smallest would decide for all"
        )
    models = sorted({card.name for box in boxes for card in box.cards if card.capability})
    if len({card.capability for box in boxes for card in box.cards}) > 1:
        wrong.append(
            f"the cards are of different generations ({', '.join(models)}); expected one compute "
            "capability, since an engine takes its kernels for all cards by the first"
        )
    counts = {len(box.cards) for box in boxes}
    if len(counts) > 1:
        wrong.append(f"the boxes have {_listed(counts)} cards; expected as many in each")
    releases = {box.engine for box in boxes}
    if len(releases) > 1:
        each = ", ".join(f"{_named(box, i)} {box.engine}" for i, box in enumerate(boxes))
        wrong.append(f"the boxes run different engine releases ({each}); expected one for all")
    return wrong


def cell_problems(members: Sequence[Box]) -> list[str]:
    """What is wrong with the members of a cell: boxes that serve one model together."""
    if len(members) == 1:
        return [f"the cell has one member, {_named(members[0], 0)}; expected two or more"]
    return _box_problems(members)


def parse_cards(text: str, names: Mapping[str, Card] | None = None) -> tuple[Box, ...]:
    """Boxes from "2x24564" (one box) or "1x4090,1x4090" (two): count x name, or x MiB.

    `names` has the cards that are taken by name; case, spaces, dashes and a maker's words do not
    matter. Raises ShapeError for anything else, and for zero cards.
    """
    names = names or {}
    known = {_plain(name): card for name, card in names.items()}
    boxes = []
    for part in text.split(","):
        match = re.fullmatch(r"(?:([0-9]{1,9})x)?([0-9A-Za-z _-]{1,40})", part.strip())
        name = "" if match is None else _plain(match[2])
        if match is None or not (name in known or re.fullmatch(r"[0-9]{1,9}", name)):
            named = f" or COUNTxCARD ({', '.join(names)})" if names else ""
            raise ShapeError(
                f"cards is {short_repr(text)}; expected COUNTxMIB such as 2x24564{named}, and a "
                "comma between boxes"
            )
        count = int(match[1] or "1")
        if not 1 <= count <= 16:
            raise ShapeError(f"a box with {count} cards in {text!r}; expected 1 to 16")
        # A number below is a card's name that is not known, and never its memory.
        if name not in known and not LEAST_MEMORY <= int(name) <= 1 << 20:
            named = f", or a card's name: {', '.join(names)}" if names else ""
            raise ShapeError(
                f"a card of {name} MiB in {text!r}; expected {LEAST_MEMORY} to 1048576 MiB{named}"
            )
        card = known[name] if name in known else Card.of_memory(int(name))
        boxes.append(Box((card,) * count))
    return tuple(boxes)


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|rtx|[ _-]", "", name.lower())


def stage_layers(layers: int, stages: int) -> tuple[range, ...]:
    """The layers of each pipeline stage.

    Left-over layers go to the stages before the last, from its end on, where the output head is.
    Source: get_pp_indices in vllm/distributed/utils.py, the same in 0.8.5.post1 and 0.32.0.
    """
    if stages > layers:
        raise ShapeError(f"{layers} layers cannot be split into {stages} stages")
    counts = [layers // stages] * stages
    for index in range(2, layers % stages + 2):
        counts[-index] += 1
    starts = [sum(counts[:stage]) for stage in range(stages)]
    return tuple(range(start, start + count) for start, count in zip(starts, counts, strict=True))


def _named(box: Box, index: int) -> str:
    return box.name or f"box {index + 1}"


def _listed(numbers: set[int]) -> str:
    return " and ".join(str(number) for number in sorted(numbers))
