"""What a plan makes of a reading: packages, sources, paths."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from fortyninety.driver.pins import installed_driver
from fortyninety.driver.plan import plan_driver
from fortyninety.operations.units import unit_commands
from fortyninety.packages.package import Package
from fortyninety.plan.archives import AptSource, apt_sources
from fortyninety.plan.paths import ARCHIVE_SOURCES
from fortyninety.plan.plan import make_plan
from fortyninety.plan.python import python_packages, python_source
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import AptArchive, HostReading, PackageState
from tests.unit.readings import bare_host, changed, settings

ADDRESS = "http://archive.example/debian"
COMPONENTS = ("contrib", "non-free", "non-free-firmware")


def archives(*entries: tuple[str, str], file: str = "/etc/apt/sources.list") -> list[AptArchive]:
    return [AptArchive(file, ADDRESS, suite, component) for suite, component in entries]


def test_the_driver_comes_with_headers_for_the_kernel_that_boots_next_and_for_its_upgrades() -> (
    None
):
    names = [package.name for package in plan_driver(settings(), bare_host()).headers]
    assert names == ["linux-headers-amd64", "linux-headers-6.12.57+deb13-amd64"]


def test_the_driver_is_of_the_settings_branch() -> None:
    packages = plan_driver(settings(), bare_host()).packages
    wanted = {package.name: package.version for package in packages}
    assert wanted["nvidia-kernel-dkms"] == "550."
    assert wanted["libcuda1"] == "550."


def test_missing_components_are_added_at_the_address_the_host_already_uses() -> None:
    reading = bare_host(apt__archives=archives(("trixie", "main"), ("trixie", "non-free-firmware")))
    assert apt_sources(reading, "debian-12", COMPONENTS) == (
        AptSource(ADDRESS, "trixie", ("contrib", "non-free")),
        AptSource(ADDRESS, "bookworm", ("main",)),
    )


def test_what_was_added_does_not_count_as_the_hosts_own_on_the_next_run() -> None:
    own = archives(("trixie", "main"))
    added = archives(("trixie", "contrib"), ("bookworm", "main"), file=ARCHIVE_SOURCES)
    with_added, without = bare_host(apt__archives=own + added), bare_host(apt__archives=own)
    assert apt_sources(with_added, "debian-12", COMPONENTS) == apt_sources(
        without, "debian-12", COMPONENTS
    )


def test_without_an_archive_of_its_release_there_is_no_address_to_take() -> None:
    reading = bare_host(apt__archives=archives(("bookworm", "main")))
    assert apt_sources(reading, "debian-12", COMPONENTS) == ()


@pytest.mark.parametrize(
    ("version", "installed", "satisfied"),
    [
        (None, "1.0", True),
        (None, None, False),
        ("550.", "550.163.01-2", True),
        ("550.", "580.65.06-1", False),
        ("12.4.", "12.4.131~12.4.1-2", True),
        ("12.4.", "13.0.1", False),
        ("550.", None, False),
    ],
)
def test_a_package_is_right_at_a_version_that_begins_with_the_wanted_one(
    version: str | None, installed: str | None, satisfied: bool
) -> None:
    assert Package("any", version).satisfied_by(installed) is satisfied


def test_every_package_that_is_installed_is_also_surveyed() -> None:
    chosen, release = settings(), load_release("0.8.5.post1")
    surveyed = survey_request(chosen, release).packages
    plan = make_plan(chosen, release, HostReading())
    for package in (
        *plan_driver(settings(driver_source="nvidia"), bare_host()).packages,
        *plan.driver.packages,
        *plan.driver.cuda_packages,
        *python_packages(release, "distribution"),
    ):
        assert any(fnmatchcase(package.name, pattern) for pattern in surveyed), package.name


def test_the_installed_driver_is_the_packages_upstream_version() -> None:
    reading = changed(
        HostReading(), apt__packages={"nvidia-kernel-dkms": PackageState("550.163.01-2", held=True)}
    )
    assert installed_driver(reading, "nvidia-kernel-dkms") == "550.163.01"
    assert installed_driver(HostReading(), "nvidia-kernel-dkms") is None


@pytest.mark.parametrize(
    ("distribution", "setting", "source"),
    [
        (("debian", "13"), "auto", "debian-12"),
        (("debian", "12"), "auto", "distribution"),
        (("ubuntu", "24.04"), "auto", "uv"),
        (("debian", "13"), "uv", "uv"),
        (("ubuntu", "22.04"), "distribution", "distribution"),
    ],
)
def test_python_comes_from_where_the_host_has_one_unless_the_settings_say(
    distribution: tuple[str, str], setting: str, source: str
) -> None:
    reading = bare_host(os__distribution=distribution[0], os__version=distribution[1])
    assert python_source(settings(python_source=setting), reading) == source


def test_uvs_build_of_python_needs_no_package_and_no_other_suite() -> None:
    made = make_plan(settings(python_source="uv"), load_release("0.8.5.post1"), bare_host())
    assert not [package for package in made.python_packages if "python3.11" in package.name]
    assert [source.suite for source in made.apt_sources] == ["trixie"]
    assert made.interpreter == "/opt/fortyninety/pythons/python3.11"


RIGHT = {"NeedDaemonReload": "no", "UnitFileState": "enabled", "ActiveState": "active"}


def test_a_unit_that_is_right_needs_nothing() -> None:
    assert (
        unit_commands(changed(HostReading(), service__units={"a": RIGHT}), "a", current=True) == []
    )


@pytest.mark.parametrize(
    ("changes", "current", "expected"),
    [
        ({"UnitFileState": "disabled"}, True, ["enable"]),
        ({"ActiveState": "failed"}, True, ["restart"]),
        ({"ActiveState": "activating"}, True, ["restart"]),
        ({"NeedDaemonReload": "yes"}, True, ["restart"]),
        ({}, False, ["restart"]),
        ({"UnitFileState": "disabled", "ActiveState": "inactive"}, True, ["enable", "restart"]),
    ],
)
def test_a_unit_that_is_not_right_is_made_so(
    changes: dict[str, str], current: bool, expected: list[str]
) -> None:
    reading = changed(HostReading(), service__units={"a": {**RIGHT, **changes}})
    commands = unit_commands(reading, "a", current=current)
    assert len(commands) == len(expected)
    for command, verb in zip(commands, expected, strict=True):
        assert f"systemctl {verb}" in str(command)
