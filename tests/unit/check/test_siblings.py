"""Which boxes are to serve the same, and what of their words is compared."""

from __future__ import annotations

from typing import Any

from tests.host.inventory_bridge import Box
from tests.host.siblings import compared, siblings_of
from tests.unit.readings import default_data


def box(name: str, **data: Any) -> Box:
    """A box with these settings, and the defaults for the others."""
    return Box(name, (), {**default_data(), **data})


def test_each_box_looks_at_the_next_with_its_settings_and_the_last_at_the_first() -> None:
    one, two, three = box("one"), box("two", port=8001), box("three")
    four = box("four", ssh_user="admin")
    boxes = [one, two, three, four]
    assert [siblings_of(each, boxes)[:1] for each in boxes] == [[three], [], [four], [one]]


def test_members_of_a_cell_and_hosts_without_an_engine_have_none() -> None:
    boxes = [box("one", cell="a"), box("two", cell="a"), box("three", roles=["gateway"])]
    boxes.append(box("four", roles=["gateway"]))
    assert [siblings_of(each, boxes) for each in boxes] == [[], [], [], []]


def test_how_many_cards_a_box_has_is_its_own() -> None:
    spread = ["vllm", "--tensor-parallel-size", "4", "--port", "8000"]
    assert compared(spread) == ["vllm", "--port", "8000"]
    assert compared(["vllm", "--tensor-parallel-size=2", "--port", "8000"]) == compared(spread)
