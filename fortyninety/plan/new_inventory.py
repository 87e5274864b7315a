"""Propose an inventory for boxes as they were found, as the text of a file that says why.

Everything in it is a literal of Python: the text is parsed again and compared.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fortyninety.cards.known import KnownCard, card_at, card_named
from fortyninety.driver.nvidia_repository import OLDEST_BRANCHES
from fortyninety.releases.release import load_release
from fortyninety.settings.defaults import default_setting
from fortyninety.survey.reading import HostReading
from fortyninety.text.printable import printable

# What one card of 24 GB serves by itself, by its name in checkpoints/models.yaml.
SMALL_MODEL = "llama-3.1-8b-awq"
# The release and the share of memory with which two such cards serve the 70B (docs/cell.md).
CELL_ENGINE = "0.32.0"
CELL_SHARE = 0.93
# MiB of a card from which it is no small one: a 70B of 4 bits leaves room for its context.
LARGE_CARD = 45_000

_WIDTH = 99
_NUMBERS = {2: "two", 3: "three", 4: "four", 6: "six", 8: "eight"}
_HEAD = """\
The boxes of this fleet, written by `fortyninety init`: edit it as you like.

A group is its hosts and what they have in common; a host is its name and its own settings, which
win. The ssh_* keys are pyinfra's own. All other settings, with their defaults and reasons, are
those of fortyninety's group_data/all.py.
"""


@dataclass(frozen=True)
class FoundBox:
    """A box by the name that it gets, and as it was read: None where it could not be."""

    name: str
    address: str
    reading: HostReading | None = None
    sudo: bool = False


@dataclass
class Group:
    """A group of the inventory: why it is one, its hosts with a remark each, what they share."""

    name: str
    why: str
    shared: dict[str, Any]
    hosts: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)


def inventory_text(boxes: Sequence[FoundBox], ssh: Mapping[str, Any]) -> str:
    """The text of an inventory of these boxes, reached by these ssh_* keys.

    The same boxes give the same text. Raises AssertionError where it would say something else.
    """
    groups = list(_groups(boxes, ssh))
    text = "\n\n".join([f'"""{_HEAD}"""', *(_group_text(group) for group in groups)]) + "\n"
    expected = {
        group.name: ([(name, data) for name, data, _ in group.hosts], group.shared)
        for group in groups
    }
    if read_inventory(text) != expected:
        raise AssertionError("the inventory does not say what was meant")
    return text


def read_inventory(text: str) -> dict[str, Any]:
    """What a file of literals assigns, by name. Raises ValueError where it holds anything else."""
    _, *statements = ast.parse(text).body
    found = {}
    for statement in statements:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise ValueError(f"line {statement.lineno} is no group")
        found[statement.targets[0].id] = ast.literal_eval(statement.value)
    return found


def _groups(boxes: Sequence[FoundBox], ssh: Mapping[str, Any]) -> Iterator[Group]:
    small = [box for box in boxes if _is_small(box)]
    pairs = len(small) // 2
    for number in range(pairs):
        cell = chr(ord("a") + number) if number < 26 else f"a{number}"
        group = Group(
            f"cell_{cell}",
            "Two boxes with one card each serve one 70B together, the first of them as the head "
            "(a cell: docs/cell.md). The other way: each by itself with a model that fits a card, "
            f'"model": "{SMALL_MODEL}" in place of "cell", "engine" and "gpu_memory_utilization"; '
            "`fortyninety models` lists models.",
            {
                **ssh,
                "cell": cell,
                "engine": CELL_ENGINE,
                "gpu_memory_utilization": CELL_SHARE,
            },
        )
        for box in small[2 * number : 2 * number + 2]:
            group.hosts.append(_host(box, **_cell_driver(box)))
        yield group
    if len(small) % 2:
        yield Group(
            "one_card",
            "One card has no room for a 70B, so this box serves a smaller model; `fortyninety "
            "models` lists others. With a second such box: a cell (docs/cell.md).",
            {**ssh, "model": SMALL_MODEL},
            [_host(small[-1])],
        )
    others = [box for box in boxes if box not in small]
    for name, why in dict.fromkeys(map(_kind, sorted(others, key=_order))):
        yield Group(name, why, dict(ssh), [_host(box) for box in others if _kind(box)[0] == name])


def _order(box: FoundBox) -> tuple[bool, int]:
    """By the number of cards, and those that were not read last."""
    return box.reading is None, _count(box)


def _kind(box: FoundBox) -> tuple[str, str]:
    """The name of the group that a box is in by itself, and what it serves."""
    count = _count(box)
    if box.reading is None:
        return "not_read", (
            "These could not be read when this was written: run `fortyninety doctor` for the "
            "reason, and then `fortyninety init` again."
        )
    if count == 0:
        return "no_card", "No NVIDIA card was seen in these: a deploy refuses them as they are."
    if not _memory(box.reading):
        return "other_cards", "Cards that fortyninety does not know as long as they have no driver."
    if count == 1:
        return "large_card", "One card with room for a 70B of 4 bits."
    return (
        f"{_NUMBERS.get(count, f'n{count}')}_cards",
        "The default model, a 70B of 4 bits, split over all cards of a box (docs/fit.md).",
    )


def _host(box: FoundBox, **more: Any) -> tuple[str, dict[str, Any], str]:
    data: dict[str, Any] = {} if box.address == box.name else {"ssh_hostname": box.address}
    if box.sudo:
        data["_sudo"] = True
    if box.reading is None:
        return box.name, data, ""
    if count := _count(box):
        data["gpu_count"] = count
    product, known = _product(box.reading), _known(box.reading)
    if product != default_setting("gpu_model") and known is not None:
        data["gpu_model"] = product
        if not known.power.minimum <= default_setting("power_limit") <= known.power.maximum:
            data["power_limit"] = known.power.default
    remark = f"{count} x {product}, {box.reading.os.name}" if count else box.reading.os.name
    return box.name, {**data, **more}, remark


def _cell_driver(box: FoundBox) -> dict[str, Any]:
    """The branch of the driver, where NVIDIA's repository for the box begins after the engine's."""
    if box.reading is None:
        return {}
    oldest = OLDEST_BRANCHES.get((box.reading.os.distribution, box.reading.os.version), 0)
    floor = load_release(CELL_ENGINE).driver_floor or 0
    return {"driver_branch": oldest} if oldest > floor else {}


def _is_small(box: FoundBox) -> bool:
    if box.reading is None or _count(box) != 1:
        return False
    return 0 < _memory(box.reading) < LARGE_CARD


def _count(box: FoundBox) -> int:
    """The number of cards; -1 of a box that was not read."""
    if box.reading is None:
        return -1
    return len(box.reading.cards.gpus) or len(box.reading.cards.devices)


def _product(reading: HostReading) -> str:
    """The first card's name, by its driver or its PCI id."""
    if reading.cards.gpus:
        return printable(reading.cards.gpus[0].name, 80)
    known = _known(reading)
    return "unknown card" if known is None else known.product


def _known(reading: HostReading) -> KnownCard | None:
    if reading.cards.gpus:
        return card_named(reading.cards.gpus[0].name)
    return card_at(reading.cards.devices[0]) if reading.cards.devices else None


def _memory(reading: HostReading) -> int:
    if reading.cards.gpus:
        return reading.cards.gpus[0].memory
    known = _known(reading)
    return 0 if known is None else known.memory


def _group_text(group: Group) -> str:
    lines = [f"# {line}" for line in textwrap.wrap(group.why, _WIDTH - 2)]
    lines += [f"{group.name} = (", "    ["]
    for name, data, remark in group.hosts:
        if remark:
            # One line of printable characters, whatever the host said.
            lines.append(f"        # {printable(ascii(remark)[1:-1], 80)}")
        lines.append(f"        ({_literal(name)}, {_literal(data)}),")
    lines += ["    ],", "    {"]
    lines += [f"        {_literal(key)}: {_literal(value)}," for key, value in group.shared.items()]
    return "\n".join([*lines, "    },", ")"])


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{_literal(key)}: {_literal(each)}" for key, each in value.items())
        return f"{{{', '.join(items)}}}"
    plain = isinstance(value, str) and value.isprintable() and not set(value) & set("\"'\\")
    return f'"{value}"' if plain else ascii(value)
