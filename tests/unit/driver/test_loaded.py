"""A reboot only when it helps, and never into a kernel without a driver."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.driver.loaded import boot_obstacle, foreign_libraries, lost_cards, why_reboot
from fortyninety.plan.preflight import host_problems
from fortyninety.survey.reading import DkmsState, HostReading
from tests.unit.readings import bare_host, changed, gpu, settings

INSTALLED = "550.163.01"
KERNEL = "6.12.57+deb13-amd64"
BUSES = ["0000:01:00.0", "0000:02:00.0"]


def with_driver(**changes: Any) -> HostReading:
    """A host whose driver is in memory and whose next boot would find it again."""
    values: dict[str, Any] = {
        "kernels__modules": {KERNEL: INSTALLED},
        "driver__module": INSTALLED,
        "driver__libraries": {"libcuda.so": INSTALLED, "libnvidia-ml.so": INSTALLED},
        "cards__gpus": [gpu(index, bus=bus) for index, bus in enumerate(BUSES)],
        "cards__addresses": BUSES,
    }
    return bare_host(**{**values, **changes})


def test_a_host_with_its_driver_in_memory_is_not_rebooted() -> None:
    reading = with_driver()
    assert why_reboot(reading, INSTALLED) is None
    assert boot_obstacle("box1", reading, INSTALLED) is None
    assert foreign_libraries(reading, INSTALLED) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"driver__module": None, "cards__gpus": []},
            "550.163.01 is installed and none is in memory",
        ),
        ({"driver__module": "535.54.03"}, "550.163.01 is installed and 535.54.03 is in memory"),
        ({"driver__nouveau": True}, "nouveau holds the cards"),
    ],
)
def test_what_only_a_reboot_puts_right_is_a_reason_for_one(
    changes: dict[str, Any], reason: str
) -> None:
    found = why_reboot(with_driver(**changes), INSTALLED)
    assert found is not None and reason in found


def test_the_kernel_says_what_is_in_memory_where_newer_libraries_silence_nvidia_smi() -> None:
    reading = with_driver(
        driver__module="535.54.03", cards__gpus=[], cards__error="version mismatch"
    )
    assert reading.loaded_driver == "535.54.03"


def test_libraries_of_another_driver_than_the_module_are_no_reason_for_a_reboot() -> None:
    reading = with_driver(driver__libraries={"libcuda.so": "560.35.03"})
    assert why_reboot(reading, INSTALLED) is None
    found = foreign_libraries(reading, INSTALLED)
    assert found is not None and "programs load libcuda.so 560.35.03; expected those" in found


@pytest.mark.parametrize("built", [None, "535.54.03"])
def test_a_next_kernel_without_the_module_is_an_obstacle_that_names_dkms_state(
    built: str | None,
) -> None:
    reading = with_driver(
        kernels__modules={"6.12.50": INSTALLED, KERNEL: built},
        kernels__dkms=[
            DkmsState(INSTALLED, "6.12.50", "installed"),
            DkmsState(INSTALLED, KERNEL, "failed"),
        ],
    )
    found = boot_obstacle("box1", reading, INSTALLED)
    assert found is not None
    assert f"{KERNEL}, has NVIDIA module {built or 'none'}; expected 550.163.01" in found
    assert "DKMS: 550.163.01 failed." in found


def test_secure_boot_without_the_key_is_an_obstacle_that_says_how_to_enrol_it() -> None:
    certificate = "/var/lib/dkms/mok.pub"
    reading = with_driver(driver__module=None, cards__gpus=[], kernels__secure_boot=certificate)
    found = boot_obstacle("box1", reading, INSTALLED)
    assert found is not None and f"mokutil --import {certificate}" in found
    assert (
        boot_obstacle("box1", changed(reading, kernels__secure_boot="enrolled"), INSTALLED) is None
    )


@pytest.mark.parametrize(
    ("secure_boot", "words"),
    [
        ("none", "dkms generate_mok && mokutil --import /var/lib/dkms/mok.pub"),
        ("unknown", "apt-get install mokutil"),
        ("/var/lib/shim-signed/mok/MOK.der", "mokutil --import /var/lib/shim-signed/mok/MOK.der"),
    ],
)
def test_secure_boot_is_refused_before_the_first_change(secure_boot: str, words: str) -> None:
    (problem,) = host_problems("box1", settings(), bare_host(kernels__secure_boot=secure_boot))
    assert str(problem).startswith("box1: Secure Boot is on") and words in str(problem)


@pytest.mark.parametrize(
    "changes", [{"kernels__secure_boot": "enrolled"}, {"driver__module": INSTALLED}]
)
def test_secure_boot_that_lets_the_driver_in_is_no_problem(changes: dict[str, Any]) -> None:
    reading = bare_host(**{"kernels__secure_boot": "/var/lib/dkms/mok.pub", **changes})
    assert list(host_problems("box1", settings(), reading)) == []


def test_a_card_that_a_reboot_took_is_named_by_address_and_uuid() -> None:
    before = with_driver()
    after = with_driver(cards__addresses=BUSES[:1], cards__gpus=before.cards.gpus[:1])
    found = lost_cards(before, after)
    assert found is not None
    assert "card 0000:02:00.0 (GPU-1) is missing; expected the 2 cards" in found
    assert lost_cards(before, before) is None


def test_a_card_on_the_bus_that_the_driver_does_not_show_is_named() -> None:
    before = with_driver(cards__gpus=[])
    found = lost_cards(before, with_driver(cards__gpus=[gpu(0, bus=BUSES[0])]))
    assert found is not None and "card 0000:02:00.0 is on the bus, and the driver" in found
