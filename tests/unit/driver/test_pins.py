"""Which packages are of the driver, and what apt is told to keep them as they are."""

from __future__ import annotations

import re

from fortyninety.driver.pins import DriverPins, is_driver_name
from fortyninety.survey.reading import HostReading, PackageState
from tests.unit.readings import bare_host

PINS = DriverPins("nvidia-kernel-dkms", "550.", companions=("nvidia-persistenced",))
INSTALLED = {
    "nvidia-kernel-dkms": "550.163.01-2",
    "libcuda1": "550.163.01-2",
    # Nobody asked for these two; they came along, and a later one of them would not start.
    "libnvidia-ptxjitcompiler1": "550.163.01-2",
    "firmware-nvidia-gsp": "550.163.01-2",
    "nvidia-persistenced": "535.171.04-1",
    # Of NVIDIA and not of the driver.
    "nvidia-cuda-toolkit": "12.4.131~12.4.1-2",
    "nvidia-container-toolkit": "1.17.8-1",
    "libnvidia-container1": "1.17.8-1",
    "linux-image-amd64": "6.12.57-1",
}


def host(**changes: str) -> HostReading:
    packages = {**INSTALLED, **changes}
    return bare_host(
        apt__packages={
            name: PackageState(version, held=False) for name, version in packages.items()
        }
    )


def test_the_driver_is_everything_with_its_version_and_its_companions() -> None:
    assert PINS.installed(host()) == (
        "firmware-nvidia-gsp",
        "libcuda1",
        "libnvidia-ptxjitcompiler1",
        "nvidia-kernel-dkms",
        "nvidia-persistenced",
    )


def test_apt_is_told_the_branch_first_and_afterwards_what_was_installed() -> None:
    (before,) = PINS.pins(bare_host())
    assert (before.pin, before.priority) == ("version 550.*", 1001)
    companion, driver = PINS.pins(host())
    assert (companion.packages, companion.pin) == (
        ("nvidia-persistenced",),
        "version 535.171.04-1",
    )
    assert driver.pin == "version 550.163.01-2"
    assert "*nvidia*" in driver.packages, "libraries that come later are to be of this version too"
    assert not is_driver_name("libnvjitlink-12-4"), "a toolkit's library is not the driver's"


def test_a_driver_of_another_branch_is_not_pinned_but_its_successor() -> None:
    reading = host(**{"nvidia-kernel-dkms": "580.126.09-1"})
    assert PINS.replaces(reading)
    (pin,) = PINS.pins(reading)
    assert pin.pin == "version 550.*"


def test_the_modules_of_the_other_kind_are_another_driver() -> None:
    wanted = DriverPins("nvidia-open-kernel-dkms", "550.", companions=())
    assert wanted.replaces(host())
    assert not PINS.replaces(host())
    assert not PINS.replaces(bare_host())


def test_ubuntus_own_packages_of_these_names_are_never_taken() -> None:
    """Some of them only bring the next branch, at a version that reads like this one."""
    pins = DriverPins("nvidia-dkms-550", "550.", companions=(), not_from="Ubuntu").pins(bare_host())
    assert [(each.pin, each.priority) for each in pins] == [
        ("release o=Ubuntu", -1),
        ("version 550.*", 1001),
    ]


def test_unattended_upgrades_are_told_whole_names() -> None:
    expressions = PINS.blacklist(host())
    # As unattended-upgrade itself matches them.
    assert any(re.match(each, "libcuda1") for each in expressions)
    assert not any(re.match(each, "libcuda10") for each in expressions)
    assert not any(re.match(each, "nvidia-container-toolkit") for each in expressions)
    assert all("\\" not in each for each in expressions)


def test_what_a_change_left_behind_of_the_other_driver_is_known_by_its_version() -> None:
    reading = host(
        **{
            "nvidia-kernel-dkms": "580.126.09-1",
            "libcuda1": "580.126.09-1",
            "firmware-nvidia-gsp": "580.126.09-1",
            "libnvidia-ptxjitcompiler1": "550.163.01-2",
            # Of other kinds: neither is a driver's version.
            "nvidia-support": "20240109+1",
            "nvidia-xconfig": "1.0-1",
        }
    )
    pins = DriverPins("nvidia-kernel-dkms", "580.", companions=("nvidia-persistenced",))
    assert pins.left_behind(reading) == ("libnvidia-ptxjitcompiler1",)
    assert PINS.left_behind(host()) == ()
