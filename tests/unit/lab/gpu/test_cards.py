"""What a card spec means, and what a host sees of it before it has a driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.gpu.cards import parse, write_pci_devices


def test_a_count_and_memory_mean_rtx_4090s() -> None:
    first, second = parse("2x24564", "lab1")
    assert (first.name, first.memory_mib) == ("NVIDIA GeForce RTX 4090", 24564)
    assert first.uuid != second.uuid
    assert first.pci_address != second.pci_address


def test_a_model_may_be_named_with_and_without_its_memory() -> None:
    (named,) = parse("1xNVIDIA GeForce RTX 3090", "lab1")
    assert named.memory_mib == 24576
    (smaller,) = parse("1xNVIDIA GeForce RTX 4090:20000", "lab1")
    assert smaller.memory_mib == 20000


def test_different_cards_fit_into_one_host() -> None:
    names = [card.name for card in parse("1x24564,1xNVIDIA GeForce RTX 3090", "lab1")]
    assert names == ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090"]


def test_a_host_may_have_no_cards() -> None:
    assert parse("none", "lab1") == ()


def test_cards_of_two_hosts_have_different_serials_and_the_same_ones_every_time() -> None:
    assert parse("1x24564", "lab1") == parse("1x24564", "lab1")
    assert parse("1x24564", "lab1")[0].uuid != parse("1x24564", "lab2")[0].uuid


@pytest.mark.parametrize("spec", ["", "24564", "0x24564", "2x", "2x24564,", "axb", "2xRTX:"])
def test_a_spec_that_is_none_of_these_is_refused_with_an_example(spec: str) -> None:
    with pytest.raises(LabError, match=r"for example 2x24564|is not known"):
        parse(spec, "lab1")


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"RTX 5090.*known: NVIDIA GeForce RTX 4090"):
        parse("1xNVIDIA GeForce RTX 5090", "lab1")


def test_the_bus_shows_vendor_device_and_class_of_each_card(tmp_path: Path) -> None:
    write_pci_devices(tmp_path, parse("2x24564", "lab1"))
    devices = sorted(tmp_path.iterdir())
    assert [device.name for device in devices] == ["0000:01:00.0", "0000:02:00.0"]
    read = {file.name: file.read_text() for file in devices[0].iterdir()}
    assert read == {"vendor": "0x10de\n", "device": "0x2684\n", "class": "0x030000\n"}
