"""What apt itself takes from a repository that is there for a few packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fortyninety.driver.repository_pins import nvidia_pins
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import AptArchive
from fortyninety.templates import render
from tests.unit.driver.real_apt import Archive, RealApt
from tests.unit.readings import bare_host, settings


def plan(version: str, codename: str, **changed: Any) -> Plan:
    """The plan of a bare Debian host."""
    reading = bare_host(
        os__version=version,
        os__codename=codename,
        apt__archives=[
            AptArchive("/etc/apt/sources.list", "http://deb.example/debian", codename, "main"),
            AptArchive(
                "/etc/apt/sources.list",
                "http://security.example/debian-security",
                f"{codename}-security",
                "main",
            ),
        ],
    )
    own = settings(**changed)
    return make_plan(own, load_release(own.engine), reading)


def preferences(made: Plan) -> dict[str, str]:
    """The files that the deploy writes before the first package."""
    found = {}
    if made.python_pins:
        found["fortyninety-python"] = render(
            "fortyninety.preferences.j2", reason="-", pins=made.python_pins
        )
    if made.driver.repository_pins:
        found["fortyninety-nvidia"] = render(
            "fortyninety.preferences.j2", reason="-", pins=made.driver.repository_pins
        )
    if made.driver.pins is not None:
        found["fortyninety-driver"] = render(
            "fortyninety.preferences.j2", reason="-", pins=made.driver.pins.pins(bare_host())
        )
    return found


# --- Python of another release --------------------------------------------------------------------

TRIXIE = Archive(
    "Debian", "trixie", {"libc6": "2.41-12", "openssl": "3.5.4-1", "python3.13": "3.13.5-2"}
)
BOOKWORM = Archive(
    "Debian",
    "bookworm",
    {
        "libc6": "2.36-9+deb12u13",
        "python3.11": "3.11.2-6+deb12u6",
        "libpython3.11-stdlib": "3.11.2-6+deb12u6",
        "gone-from-trixie": "1",
    },
    sources={"libpython3.11-stdlib": "python3.11"},
)
# Higher than trixie's, as an update that came late to trixie is.
BOOKWORM_SECURITY = Archive(
    "Debian",
    "bookworm-security",
    {
        "libc6": "2.99-1+deb12u1",
        "openssl": "3.9.0-1~deb12u1",
        "python3.11": "3.11.2-6+deb12u7",
        "libpython3.11-stdlib": "3.11.2-6+deb12u7",
    },
    label="Debian-Security",
    sources={"libpython3.11-stdlib": "python3.11"},
)


@pytest.fixture(scope="module")
def debian_13(tmp_path_factory: pytest.TempPathFactory) -> RealApt:
    """Debian 13 with Python 3.11 of Debian 12, as it came before its fix."""
    return RealApt(
        tmp_path_factory.mktemp("apt"),
        (TRIXIE, BOOKWORM, BOOKWORM_SECURITY),
        preferences(plan("13", "trixie")),
        {"libc6": "2.41-12", "python3.11": "3.11.2-6+deb12u6"},
    )


@pytest.mark.parametrize("name", ["python3.11", "libpython3.11-stdlib"])
def test_a_security_fix_of_the_other_releases_python_is_the_candidate(
    debian_13: RealApt, name: str
) -> None:
    assert debian_13.candidate(name) == "3.11.2-6+deb12u7"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("libc6", "2.41-12"),
        ("openssl", "3.5.4-1"),
        ("python3.13", "3.13.5-2"),
        ("gone-from-trixie", None),
    ],
)
def test_nothing_else_of_that_release_is_a_candidate(
    debian_13: RealApt, name: str, version: str | None
) -> None:
    assert debian_13.candidate(name) == version


def test_security_fixes_come_from_where_the_hosts_own_come_from() -> None:
    added = plan("13", "trixie").apt_sources
    assert ("http://security.example/debian-security", "bookworm-security") in {
        (each.address, each.suite) for each in added
    }
    assert ("http://deb.example/debian", "bookworm") in {
        (each.address, each.suite) for each in added
    }


def test_debian_12_needs_nothing_of_another_release() -> None:
    made = plan("12", "bookworm", driver_branch=550)
    assert {each.suite for each in made.apt_sources} <= {"bookworm"}
    assert made.python_pins == ()


# --- NVIDIA's repository --------------------------------------------------------------------------

DEBIAN_12 = Archive(
    "Debian",
    "bookworm",
    {"bash": "5.2-2", "libc6": "2.36-9", "dkms": "3.0.10", "nvidia-smi": "535.1-1"},
)
NVIDIA = Archive(
    "NVIDIA",
    "",
    {
        "bash": "99-1",
        "libc6": "99-1",
        "dkms": "3.2.1",
        "cudnn9-cuda-12": "9.1-1",
        "libnccl2": "2.21-1+cuda12.4",
        "datacenter-gpu-manager": "3.3-1",
        "nvidia-kernel-dkms": "550.163.01-1",
        "libcuda1": "550.163.01-1",
        "nvidia-smi": "550.163.01-1",
        "cuda-toolkit-12-4": "12.4.1-1",
        "cuda-toolkit-12-4-config-common": "12.4.127-1",
        "cuda-toolkit-12-config-common": "12.9.79-1",
        "cuda-toolkit-config-common": "12.9.79-1",
        "libcublas-dev-12-4": "12.4.5.8-1",
        "gds-tools-12-4": "1.9.1.3-1",
        "nsight-systems-2023.4.4": "2023.4.4.54-1",
        "cuda-toolkit-12-6": "12.6.3-1",
        "libcublas-12-6": "12.6.4-1",
    },
)
NEEDED = (
    *("cuda-toolkit-12-4", "cuda-toolkit-12-4-config-common", "cuda-toolkit-12-config-common"),
    *("cuda-toolkit-config-common", "libcublas-dev-12-4", "gds-tools-12-4"),
    "nsight-systems-2023.4.4",
)
DRIVER = ("nvidia-kernel-dkms", "libcuda1", "nvidia-smi")


@pytest.fixture(scope="module", params=["nvidia", "present"])
def with_nvidia(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, RealApt]:
    """Debian 12 with NVIDIA's repository, for a driver and a toolkit or for a toolkit alone."""
    made = plan("12", "bookworm", driver_source=request.param, driver_branch=550)
    folder = tmp_path_factory.mktemp("apt")
    return request.param, RealApt(folder, (DEBIAN_12, NVIDIA), preferences(made))


def test_the_planned_packages_come_from_nvidias_repository(
    with_nvidia: tuple[str, RealApt],
) -> None:
    source, apt = with_nvidia
    for name in (*NEEDED, *(DRIVER if source == "nvidia" else ())):
        assert apt.candidate(name) == NVIDIA.packages[name], name


def test_nothing_else_comes_from_there(with_nvidia: tuple[str, RealApt]) -> None:
    source, apt = with_nvidia
    taken = {*NEEDED, *((*DRIVER, "dkms") if source == "nvidia" else ())}
    for name in NVIDIA.packages.keys() - taken:
        assert apt.candidate(name) == DEBIAN_12.packages.get(name), name


def test_a_toolkits_repository_brings_no_driver_beside_the_distributions(tmp_path: Path) -> None:
    """Both have the branch, and NVIDIA's version is the higher one."""
    debian = Archive("Debian", "trixie", {"libcuda1": "550.163.01-2"})
    nvidia = Archive("NVIDIA", "", {"libcuda1": "550.199-1", "cuda-toolkit-12-6": "12.6.3-1"})
    made = plan("13", "trixie", cuda_version="12.6")
    apt = RealApt(tmp_path, (debian, nvidia), preferences(made))
    assert apt.candidate("libcuda1") == "550.163.01-2"
    assert apt.candidate("cuda-toolkit-12-6") == "12.6.3-1"


def test_a_mirror_is_known_by_its_address_unless_others_come_from_there() -> None:
    repository = plan("12", "bookworm", driver_branch=550).driver.repository
    assert repository is not None
    own = AptArchive("/x", "http://developer.download.nvidia.com/debian", "bookworm", "main")

    def marks(archives: list[AptArchive]) -> set[str]:
        pins = nvidia_pins(repository, archives, driver=True, cuda_version=None)
        return {pin.pin for pin in pins}

    assert marks([]) == {"release o=NVIDIA", 'origin "developer.download.nvidia.com"'}
    assert marks([own]) == {"release o=NVIDIA"}
