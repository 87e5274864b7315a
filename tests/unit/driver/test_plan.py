"""Which driver a host gets, from where, and why a run is refused for it."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.driver.plan import driver_source, held_headers, plan_driver
from fortyninety.plan.preflight import host_problems, settings_problems
from fortyninety.survey.reading import FileState, HostReading, PackageState
from tests.unit.readings import bare_host, gpu, settings

NAMES = {
    ("debian", "12"): "Debian GNU/Linux 12 (bookworm)",
    ("debian", "13"): "Debian GNU/Linux 13 (trixie)",
    ("ubuntu", "22.04"): "Ubuntu 22.04.5 LTS",
    ("ubuntu", "24.04"): "Ubuntu 24.04.3 LTS",
}
DRIVER_550 = {"nvidia-kernel-dkms": PackageState("550.163.01-2", held=True)}


def host_of(distribution: str, version: str, **changes: Any) -> HostReading:
    return bare_host(
        os__distribution=distribution,
        os__version=version,
        os__name=NAMES[distribution, version],
        **changes,
    )


def refused(reading: HostReading, **changes: Any) -> list[str]:
    return [str(each) for each in host_problems("box1", settings(**changes), reading)]


@pytest.mark.parametrize(
    ("distribution", "changes", "source"),
    [
        (("debian", "13"), {}, "distribution"),
        (("debian", "13"), {"driver_branch": 590}, "nvidia"),
        (("debian", "13"), {"driver_source": "nvidia"}, "nvidia"),
        (("debian", "12"), {}, "nvidia"),
        (("ubuntu", "22.04"), {}, "nvidia"),
        (("ubuntu", "24.04"), {}, "nvidia"),
        (("ubuntu", "24.04"), {"driver_source": "present"}, "present"),
    ],
)
def test_the_driver_comes_from_the_distribution_where_that_has_the_branch(
    distribution: tuple[str, str], changes: dict[str, Any], source: str
) -> None:
    assert driver_source(settings(**changes), host_of(*distribution)) == source


@pytest.mark.parametrize("distribution", NAMES)
def test_every_supported_distribution_is_accepted_with_the_defaults(
    distribution: tuple[str, str],
) -> None:
    assert refused(host_of(*distribution)) == []


@pytest.mark.parametrize(
    ("engine", "branch", "toolkit"),
    [("0.8.5.post1", 550, "12.4"), ("0.32.0", 580, "13.0"), ("0.32.0-cpu", 550, "12.4")],
)
def test_branch_and_toolkit_are_what_the_engine_needs_unless_the_settings_say(
    engine: str, branch: int, toolkit: str
) -> None:
    chosen = settings(engine=engine)
    assert (chosen.driver_branch, chosen.cuda_version) == (branch, toolkit)


def test_a_branch_of_ones_own_brings_its_own_toolkit_and_either_is_one_line() -> None:
    assert settings(driver_branch=580).cuda_version == "13.0"
    assert settings(driver_branch=580, cuda_version="12.4").cuda_version == "12.4"


@pytest.mark.parametrize(
    ("distribution", "changes", "message"),
    [
        (
            ("debian", "12"),
            {"driver_source": "distribution"},
            "box1: driver_source is 'distribution'; expected 'auto' or 'nvidia' for branch 550 on "
            "Debian 12. Its own archive has none from 550 on",
        ),
        (
            ("debian", "13"),
            {"driver_branch": 580},
            "box1: driver_branch is 580; expected 590 or later in NVIDIA's repository for Debian "
            "13, or 550 of its own archive. Or name a repository that has it: nvidia_repository",
        ),
        (
            ("ubuntu", "24.04"),
            {"driver_branch": 590},
            "box1: driver_branch is 590; expected earlier than 590 on Ubuntu 24.04",
        ),
    ],
)
def test_a_branch_that_is_not_to_be_had_there_is_refused(
    distribution: tuple[str, str], changes: dict[str, Any], message: str
) -> None:
    (problem,) = refused(host_of(*distribution), **changes)
    assert problem.startswith(message)


def test_a_mirror_may_have_a_branch_that_the_public_repository_lacks() -> None:
    reading = host_of("debian", "13")
    assert refused(reading, driver_branch=580, nvidia_repository="http://mirror.example/cuda") == []


def test_a_version_of_another_branch_is_refused() -> None:
    (problem,) = settings_problems("box1", settings(driver_branch=550, driver_version="580.126.09"))
    assert str(problem).startswith(
        "box1: driver_version is '580.126.09'; expected one of branch 550"
    )


def test_a_driver_that_nvidias_own_installer_brought_is_not_built_upon() -> None:
    left = {"/usr/bin/nvidia-uninstall": FileState("regular file", "755", "root", "root")}
    (problem,) = refused(bare_host(files=left))
    assert "driver_source = 'present'" in problem


@pytest.mark.parametrize("branch", [550, 590])
def test_a_change_of_a_loaded_driver_is_refused_where_no_reboot_is_allowed(branch: int) -> None:
    reading = bare_host(
        cards__gpus=[gpu(0), gpu(1)], apt__packages={**bare_host().apt.packages, **DRIVER_550}
    )
    problems = refused(reading, driver_branch=branch, allow_reboot=False)
    if branch == 550:
        assert problems == []
    else:
        (problem,) = problems
        assert "550.163.01, in memory; expected 590.*, which takes a reboot" in problem


def test_all_of_a_driver_is_of_the_version_that_its_module_has() -> None:
    """A library that a background upgrade swapped is of the branch, and wrong all the same."""
    packages = {
        "nvidia-kernel-dkms": PackageState("550.163.01-2", held=True),
        "libcuda1": PackageState("550.200.01-1", held=True),
    }
    reading = bare_host(apt__packages=packages)
    wanted = {each.name: each for each in plan_driver(settings(), reading).packages}
    assert not wanted["libcuda1"].satisfied_by(reading.installed("libcuda1"))
    assert wanted["nvidia-kernel-dkms"].satisfied_by(reading.installed("nvidia-kernel-dkms"))


# --- A driver that the image brings ---------------------------------------------------------------


def test_a_present_driver_is_neither_installed_nor_pinned_nor_rebooted_into() -> None:
    plan = plan_driver(settings(driver_source="present"), bare_host(cards__gpus=[gpu(0), gpu(1)]))
    assert (plan.packages, plan.headers, plan.obsolete, plan.pins) == ((), (), (), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cards__gpus": [gpu(0), gpu(1)]}, None),
        ({"cards__gpus": [gpu(each, driver_version="580.95.05") for each in (0, 1)]}, None),
        ({}, "box1: driver is absent"),
        (
            {"cards__error": "Failed to initialize NVML: Driver/library version mismatch"},
            "box1: driver is out of use (nvidia-smi says: Failed to initialize NVML: "
            "Driver/library version mismatch); expected 550 or later, in memory",
        ),
        (
            {"cards__gpus": [gpu(each, driver_version="535.261.03") for each in (0, 1)]},
            "box1: driver is 535.261.03; expected 550 or later, since driver_source is 'present'",
        ),
    ],
)
def test_a_present_driver_is_checked(changes: dict[str, Any], message: str | None) -> None:
    problems = refused(bare_host(**changes), driver_source="present")
    if message is None:
        assert problems == []
    else:
        (problem,) = problems
        assert problem.startswith(message)


# --- Headers --------------------------------------------------------------------------------------


def test_headers_are_released_where_their_kernel_would_come_without_them() -> None:
    packages = {
        "linux-image-amd64": PackageState("6.12.57-1", held=False),
        "linux-headers-amd64": PackageState("6.12.57-1", held=True),
        # Somebody holds this kernel on purpose, and its headers with it.
        "linux-image-cloud-amd64": PackageState("6.12.57-1", held=True),
        "linux-headers-cloud-amd64": PackageState("6.12.57-1", held=True),
    }
    assert held_headers(bare_host(apt__packages=packages)) == ("linux-headers-amd64",)


@pytest.mark.parametrize(
    ("image", "headers"),
    [
        ("linux-image-generic", "linux-headers-generic"),
        ("linux-image-generic-hwe-24.04", "linux-headers-generic-hwe-24.04"),
        ("linux-image-aws", "linux-headers-aws"),
        ("linux-image-unsigned-6.8.0-49-generic", None),
        ("linux-image-6.8.0-49-generic", None),
    ],
)
def test_on_ubuntu_headers_follow_the_kernels_own_flavour(image: str, headers: str | None) -> None:
    reading = host_of(
        "ubuntu", "24.04", apt__packages={image: PackageState("1", held=False)}, kernels__modules={}
    )
    names = [each.name for each in plan_driver(settings(), reading).headers]
    assert names == ([headers] if headers else [])
