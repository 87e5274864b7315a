"""The inventory that is proposed for boxes: valid settings, and nothing but literals."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import pytest

from fortyninety.plan.new_inventory import SMALL_MODEL, FoundBox, inventory_text, read_inventory
from fortyninety.plan.preflight import settings_problems
from fortyninety.settings.model import Settings
from fortyninety.settings.named_models import named_model
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.reading import CardsReading, GpuState, HostReading
from tests.unit.readings import bare_host, default_data

SSH = {"ssh_user": "root", "ssh_port": 2222, "ssh_key": "~/.ssh/fleet"}


def gpu(name: str, memory: int) -> GpuState:
    return GpuState(0, name, "GPU-1", memory, "550.163.01", 400.0, 150.0, 600.0, True)


def with_cards(*devices: str) -> HostReading:
    """A Debian 13 box without a driver."""
    addresses = [f"0000:0{number}:00.0" for number in range(len(devices))]
    return replace(bare_host(), cards=CardsReading(list(devices), addresses))


def with_driver(name: str, memory: int, count: int = 1) -> HostReading:
    return replace(with_cards("0x2684"), cards=CardsReading(gpus=[gpu(name, memory)] * count))


ONE, TWO = with_cards("0x2684"), with_cards("0x2684", "0x2684")


def proposed(*readings: HostReading | None, **more: Any) -> dict[str, Any]:
    boxes = [
        FoundBox(f"box-{number}", f"192.0.2.{number}", reading, **more)
        for number, reading in enumerate(readings, 1)
    ]
    text = inventory_text(boxes, SSH)
    assert inventory_text(boxes, SSH) == text
    return read_inventory(text)


def names(groups: dict[str, Any]) -> dict[str, list[str]]:
    return {name: [host for host, _ in hosts] for name, (hosts, _) in groups.items()}


def test_boxes_with_one_card_are_pairs_and_the_last_one_serves_what_fits_it() -> None:
    groups = proposed(ONE, TWO, ONE, ONE, None)
    assert names(groups) == {
        "cell_a": ["box-1", "box-3"],
        "one_card": ["box-4"],
        "not_read": ["box-5"],
        "two_cards": ["box-2"],
    }
    hosts, shared = groups["cell_a"]
    assert shared == {**SSH, "cell": "a", "engine": "0.32.0", "gpu_memory_utilization": 0.93}
    # NVIDIA's repository for Debian 13 begins there.
    assert dict(hosts)["box-3"] == {
        "ssh_hostname": "192.0.2.3",
        "gpu_count": 1,
        "driver_branch": 590,
    }
    assert groups["one_card"][1] == {**SSH, "model": SMALL_MODEL}
    assert groups["two_cards"] == (
        [("box-2", {"ssh_hostname": "192.0.2.2", "gpu_count": 2})],
        SSH,
    )
    assert named_model(SMALL_MODEL) is not None


@pytest.mark.parametrize(
    "readings",
    [
        (ONE, ONE),
        (ONE,),
        (TWO,),
        (with_cards(*["0x2684"] * 4), with_cards(*["0x2684"] * 3)),
        (with_driver("NVIDIA GeForce RTX 3090", 24576), with_driver("NVIDIA L40S", 46068)),
        (with_cards(), with_cards("0xffff"), None),
        (ONE,) * 60,
    ],
)
def test_every_host_of_a_proposal_has_valid_settings(readings: tuple[HostReading, ...]) -> None:
    groups = proposed(*readings)
    everyone = {host for hosts in names(groups).values() for host in hosts}
    assert everyone == {f"box-{number}" for number in range(1, len(readings) + 1)}
    for hosts, shared in groups.values():
        for name, data in hosts:
            settings = parse_settings(name, {**default_data(), **shared, **data})
            assert isinstance(settings, Settings), settings
            assert list(settings_problems(name, settings)) == []


def test_another_card_is_named_and_capped_within_its_limits() -> None:
    ((hosts, _),) = proposed(with_driver("NVIDIA GeForce RTX 3090", 24576, 2)).values()
    ((_, data),) = hosts
    assert data["gpu_model"] == "NVIDIA GeForce RTX 3090" and data["gpu_count"] == 2
    assert 100 <= data.get("power_limit", 400) <= 400


def test_a_user_with_sudo_says_so_and_a_name_that_is_an_address_is_not_repeated() -> None:
    text = inventory_text([FoundBox("box.example", "box.example", TWO, sudo=True)], {})
    assert read_inventory(text)["two_cards"] == (
        [("box.example", {"_sudo": True, "gpu_count": 2})],
        {},
    )


@pytest.mark.parametrize(
    "hostile", ['"""\nimport os', "'; import os #", "x\n), {}\nimport os\n(", "\x1b[2J\u202e", "\\"]
)
def test_nothing_that_a_host_says_becomes_more_than_a_word_or_a_remark(hostile: str) -> None:
    reading = with_driver(hostile, 24564, 2)
    reading = replace(reading, os=replace(reading.os, name=hostile))
    text = inventory_text([FoundBox("box", "192.0.2.1", reading)], {**SSH, "ssh_key": hostile})
    assert text.isascii() and all(line.isprintable() for line in text.splitlines())
    docstring, *groups = ast.parse(text).body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(each, ast.Assign) for each in groups) and len(groups) == 1
    ((_, shared),) = read_inventory(text).values()
    assert shared["ssh_key"] == hostile


def test_a_file_that_is_more_than_literals_is_not_read() -> None:
    with pytest.raises(ValueError, match="line 2 is no group"):
        read_inventory('"""Boxes."""\nimport os\n')
