"""What is read of cards: as real drivers print them, and as broken ones do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.on_host.signals.cards import (
    FIELDS,
    REASONS,
    add_card,
    as_kernel_writes,
    cards_on_bus,
    parse_cards,
)
from fortyninety.on_host.signals.metrics import Samples

# Debian 13's nvidia-smi 550.163.01 over the lab's stand-in library.
IN_THE_LAB = (
    "0, GPU-eb3a65f2-4178-585b-b654-898884ead3bb, 00000000:01:00.0, 550.163.01, 1, 24564, 21.00, "
    "400.00, 450.00, 34, N/A, 0, 0, 0, 210, 405, 3105, 10501, [N/A], [N/A], [N/A], 1, 4, 16, 16, "
    "Enabled, 0x0000000000000001, NVIDIA GeForce RTX 4090\n"
)
UUID = "GPU-eb3a65f2-4178-585b-b654-898884ead3bb"
CARD = f'card="0",uuid="{UUID}"'


def line(**changes: str) -> str:
    """The line of a card with other fields, each by its name with "_" for "."."""
    values = dict(zip(FIELDS, IN_THE_LAB.strip().split(", "), strict=True))
    for name, value in changes.items():
        (field,) = [each for each in FIELDS if each.replace(".", "_") == name]
        values[field] = value
    return ", ".join(values.values())


def said(text: str, caps: dict[str, object] | None = None) -> list[str]:
    samples = Samples()
    for card in parse_cards(text):
        add_card(card, caps or {}, samples)
    return [each for each in samples.text().splitlines() if not each.startswith("#")]


def test_each_field_is_a_metric_in_base_units() -> None:
    found = said(IN_THE_LAB, {"": 380})
    assert set(found) >= {
        f'fortyninety_card_info{{{CARD},name="NVIDIA GeForce RTX 4090",pci="0000:01:00.0",'
        'driver="550.163.01"} 1',
        f"fortyninety_card_memory_total_bytes{{{CARD}}} 25757220864",
        f"fortyninety_card_power_limit_watts{{{CARD}}} 400",
        f"fortyninety_card_power_limit_wanted_watts{{{CARD}}} 380",
        f"fortyninety_card_temperature_celsius{{{CARD}}} 34",
        f'fortyninety_card_clock_hertz{{{CARD},clock="memory"}} 405000000',
        f'fortyninety_card_throttle_active{{{CARD},reason="idle"}} 1',
        f'fortyninety_card_throttle_active{{{CARD},reason="hardware_thermal"}} 0',
        f"fortyninety_card_pcie_width_max_lanes{{{CARD}}} 16",
        f"fortyninety_card_persistence_enabled{{{CARD}}} 1",
    }
    assert sum("throttle_active" in each for each in found) == len(REASONS)
    # A GeForce card has no such memory, and says no temperature of what it has.
    assert not any("ecc" in each or "memory_temperature" in each for each in found)


def test_a_share_is_a_ratio_and_ecc_is_counted() -> None:
    found = said(
        line(
            utilization_gpu="97",
            ecc_mode_current="Enabled",
            ecc_errors_uncorrected_volatile_total="2",
            clocks_event_reasons_active="0x0000000000000044",
        )
    )
    assert f"fortyninety_card_utilization_ratio{{{CARD}}} 0.97" in found
    assert f"fortyninety_card_ecc_enabled{{{CARD}}} 1" in found
    assert f'fortyninety_card_ecc_errors_total{{{CARD},kind="uncorrected"}} 2' in found
    active = [each for each in found if "throttle" in each and each.endswith(" 1")]
    assert [each.rpartition('reason="')[2] for each in active] == [
        'power_cap"} 1',
        'hardware_thermal"} 1',
    ]


@pytest.mark.parametrize(
    ("caps", "cap"),
    [({UUID: 300, "": 400}, 300), ({"0000:01:00.0": 350}, 350), ({"0000:02:00.0": 350}, None)],
)
def test_a_cap_of_a_cards_own_is_found_by_its_name(caps: dict[str, object], cap: int) -> None:
    found = [each for each in said(IN_THE_LAB, caps) if "limit_wanted" in each]
    assert found == ([] if cap is None else [f"{found[0].rpartition(' ')[0]} {cap}"])


def test_a_card_that_is_lost_keeps_no_other_back() -> None:
    lost = "Unable to determine the device handle for GPU1: 0000:02:00.0: Unknown Error\n"
    cards = parse_cards(lost + IN_THE_LAB + lost)
    assert [card["uuid"] for card in cards] == [UUID]


@pytest.mark.parametrize("value", ["[GPU requires reset]", "[Unknown Error]", "", "-5", "1e9", "x"])
def test_what_a_card_does_not_say_has_no_value(value: str) -> None:
    found = said(line(temperature_gpu=value, clocks_event_reasons_active=value))
    assert not any("card_temperature" in each or "throttle" in each for each in found)
    assert any("card_power_draw_watts" in each for each in found)


@pytest.mark.parametrize(
    "text",
    ["\0" * 500, "," * 500, "0, " * 27 + "0", f"x{IN_THE_LAB}", line(uuid='GPU-1"} 1\nx{a="')],
)
def test_what_has_no_form_is_no_card(text: str) -> None:
    assert parse_cards(text) == []


def test_a_name_makes_no_line_of_its_own() -> None:
    found = said(line(name='RTX "4090", \\ é'))
    (info,) = [each for each in found if "card_info" in each]
    assert 'name="RTX \\"4090\\", \\\\ ?"' in info


def test_of_a_thousand_cards_some_are_read() -> None:
    assert len(parse_cards(IN_THE_LAB * 1000)) == 16


def test_an_address_is_as_the_kernel_writes_it() -> None:
    assert as_kernel_writes("00000000:C1:00.0") == "0000:c1:00.0"


def test_cards_are_counted_on_the_bus(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("a", "0x10de", "0x030000"),
        ("b", "0x10de", "0x030200"),
        ("sound", "0x10de", "0x040300"),
        ("other", "0x8086", "0x030000"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    (tmp_path / "empty").mkdir()
    assert cards_on_bus(str(tmp_path)) == 2
    assert cards_on_bus(str(tmp_path / "none")) is None
