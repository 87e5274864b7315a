"""A real driver's answers, recorded (docs/measured/): each value is that of `nvidia-smi -q`."""

from __future__ import annotations

import re

import pytest

from fortyninety.checkout import ROOT
from fortyninety.on_host.signals.cards import FIELDS, REASONS, add_card, parse_cards
from fortyninety.on_host.signals.metrics import METRICS, Samples

MIB = 1024 * 1024
SAMPLE = re.compile(
    r"fortyninety_(card_\w+)\{(?:[^}]*?(?:reason|clock|kind)=\"(\w+)\")?[^}]*\} (\S+)"
)
# What this card has not: fans.
LACKING = {"card_fan_speed_ratio"}
# What goes on between one answer and the next, 0.1 s later, and by how much of it at most.
MOVING = {"card_power_draw_watts": 0.02, "card_clock_hertz": 0.05, "card_utilization_ratio": 0.02}
# As `nvidia-smi -q` has the reasons.
NAMES = {
    "idle": "Idle",
    "application_clocks": "Applications Clocks Setting",
    "power_cap": "SW Power Cap",
    "hardware": "HW Slowdown",
    "sync_boost": "Sync Boost",
    "software_thermal": "SW Thermal Slowdown",
    "hardware_thermal": "HW Thermal Slowdown",
    "power_brake": "HW Power Brake Slowdown",
    "display_clocks": "Display Clock Setting",
}


def sections(name: str) -> tuple[str, str, dict[str, str]]:
    """nvidia-smi's line for a reading, what that wrote, and `nvidia-smi -q` by its headings."""
    text = (ROOT / "docs" / "measured" / f"reading-h200-{name}.txt").read_text()
    before, reading, _, whole = (each.partition("\n")[2] for each in text.split("\n### ")[1:])
    return before.strip().partition(", ")[2], reading, headed(whole)


def headed(text: str) -> dict[str, str]:
    """Each value by its heading and name, with one space: "FB Memory Usage: Total"."""
    found: dict[str, str] = {}
    headings: dict[int, str] = {}
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        name, separator, value = (each.strip() for each in line.partition(" : "))
        if not separator:
            headings = {at: each for at, each in headings.items() if at < depth}
            headings[depth] = name
            continue
        above = [each for at, each in sorted(headings.items()) if at < depth]
        found.setdefault(f"{above[-1] if above else ''}: {name}", value)
        # A line with a value may have others below it.
        headings = {at: each for at, each in headings.items() if at <= depth}
    return found


def values(text: str) -> dict[tuple[str, str], float]:
    return {(name, kind): float(value) for name, kind, value in SAMPLE.findall(text)}


def said(line: str) -> dict[tuple[str, str], float]:
    """What a reading makes of a line."""
    samples = Samples()
    (card,) = parse_cards(f"{line}\n")
    add_card(card, {"": 700}, samples)
    return values(samples.text())


def wanted(whole: dict[str, str]) -> dict[tuple[str, str], float]:
    """The same by `nvidia-smi -q`."""

    def number(name: str, factor: float = 1) -> float:
        return float(whole[name].split()[0].rstrip("x")) * factor

    def on(name: str, word: str) -> float:
        return float(whole[name] == word)

    return {
        ("card_info", ""): 1,
        ("card_memory_used_bytes", ""): number("FB Memory Usage: Used", MIB),
        ("card_memory_total_bytes", ""): number("FB Memory Usage: Total", MIB),
        ("card_power_draw_watts", ""): number("GPU Power Readings: Average Power Draw"),
        ("card_power_limit_watts", ""): number("GPU Power Readings: Current Power Limit"),
        ("card_power_limit_default_watts", ""): number("GPU Power Readings: Default Power Limit"),
        ("card_power_limit_wanted_watts", ""): 700,
        ("card_temperature_celsius", ""): number("Temperature: GPU Current Temp"),
        ("card_memory_temperature_celsius", ""): number("Temperature: Memory Current Temp"),
        ("card_utilization_ratio", ""): number("Utilization: GPU", 0.01),
        ("card_memory_utilization_ratio", ""): number("Utilization: Memory", 0.01),
        ("card_clock_hertz", "sm"): number("Clocks: SM", 1e6),
        ("card_clock_hertz", "memory"): number("Clocks: Memory", 1e6),
        ("card_clock_max_hertz", "sm"): number("Max Clocks: SM", 1e6),
        ("card_clock_max_hertz", "memory"): number("Max Clocks: Memory", 1e6),
        ("card_ecc_enabled", ""): on("ECC Mode: Current", "Enabled"),
        ("card_ecc_errors_total", "corrected"): number("Volatile: SRAM Correctable")
        + number("Volatile: DRAM Correctable"),
        ("card_ecc_errors_total", "uncorrected"): number("Volatile: DRAM Uncorrectable")
        + number("Volatile: SRAM Uncorrectable Parity")
        + number("Volatile: SRAM Uncorrectable SEC-DED"),
        ("card_pcie_generation", ""): number("PCIe Generation: Current"),
        ("card_pcie_generation_max", ""): number("PCIe Generation: Max"),
        ("card_pcie_width_lanes", ""): number("Link Width: Current"),
        ("card_pcie_width_max_lanes", ""): number("Link Width: Max"),
        ("card_persistence_enabled", ""): on("GPU 00000000:00:06.0: Persistence Mode", "Enabled"),
        **{("card_throttle_active", reason): throttled(whole, reason) for reason in NAMES},
    }


def throttled(whole: dict[str, str], reason: str) -> float:
    (value,) = [
        value
        for name, value in whole.items()
        if name.endswith(f": {NAMES[reason]}") and value in ("Active", "Not Active")
    ]
    return float(value == "Active")


@pytest.mark.parametrize("name", ["idle", "load"])
def test_each_value_is_that_of_the_whole_report(name: str) -> None:
    line, reading, whole = sections(name)
    found, report = said(line), wanted(whole)
    assert found.keys() == report.keys() == values(reading).keys()
    for each, value in report.items():
        most = MOVING.get(each[0], 0) * abs(value)
        assert abs(found[each] - value) <= most, f"{each}: {found[each]}, -q says {value}"
        assert abs(values(reading)[each] - value) <= most, f"{each} as the box wrote it"


def test_every_metric_of_a_card_is_read_of_a_real_one() -> None:
    names = {metric.name for metric in METRICS if metric.name.startswith("card_")}
    assert {each for each, _ in said(sections("idle")[0])} == names - LACKING
    assert len(sections("load")[0].split(", ")) == len(FIELDS)


def test_what_held_its_clocks_down_is_its_cap_under_load_and_nothing_to_do_before() -> None:
    reasons = {
        name: [reason for reason in REASONS.values() if read["card_throttle_active", reason]]
        for name in ("idle", "load")
        for read in [said(sections(name)[0])]
    }
    assert reasons == {"idle": ["idle"], "load": ["power_cap"]}
