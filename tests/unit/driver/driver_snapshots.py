"""What a driver's stage writes and runs on a host, as text, for each distribution and source.

A snapshot is compared with tests/unit/driver/snapshots/<name>.txt; `python -m
tests.unit.driver.driver_snapshots` writes them all anew, and the difference says what changed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.context import ctx_host

from fortyninety.operations import cuda, files, initramfs
from fortyninety.operations import driver as driver_change
from fortyninety.operations.apt import packages as apt
from fortyninety.operations.apt import repository_key
from fortyninety.packages.package import Package
from fortyninety.plan.paths import (
    ARCHIVE_SOURCES,
    DRIVER_PREFERENCES,
    NOUVEAU_CONFIGURATION,
    NVIDIA_KEYRING,
    NVIDIA_PREFERENCES,
    SERVICE,
    UNATTENDED_UPGRADES,
)
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import AptArchive, HostReading, PackageState
from fortyninety.templates import render
from tests.unit.readings import bare_host, changed, settings

# What notes what is brought (fortyninety/operations/brought.py), for a reset.
NOTE = re.compile(r"\( set -- ([^;]*);.*?printf '(\w+) %s.*?; \} \)")
FOLDER = Path(__file__).parent / "snapshots"

ARCHIVES = {"debian": "http://deb.example/debian", "ubuntu": "http://archive.example/ubuntu"}


@dataclass(frozen=True)
class Case:
    """A host and its settings. `installed` are packages that another driver left there."""

    distribution: str
    version: str
    codename: str
    settings: dict[str, Any] = field(default_factory=dict)
    installed: dict[str, str] = field(default_factory=dict)

    def host(self) -> HostReading:
        """The host before the deploy: its kernel, its own archive, and what is `installed`."""
        kernel = "6.8.0-49-generic" if self.distribution == "ubuntu" else "6.12.57+deb13-amd64"
        flavour = "generic" if self.distribution == "ubuntu" else "amd64"
        packages = {
            name: PackageState(version, held=name not in ("linux-image", flavour))
            for name, version in self.installed.items()
        }
        for name in (f"linux-image-{flavour}", f"linux-image-{kernel}"):
            packages[name] = PackageState("1", held=False)
        return bare_host(
            os__distribution=self.distribution,
            os__version=self.version,
            os__codename=self.codename,
            os__name=f"{self.distribution} {self.version}",
            kernels__modules={kernel: None},
            apt__packages=packages,
            apt__archives=[
                AptArchive(
                    "/etc/apt/sources.list", ARCHIVES[self.distribution], self.codename, "main"
                )
            ],
            service__units={SERVICE: {"ActiveState": "active"}} if self.installed else {},
        )

    def chosen(self) -> Settings:
        """The settings of the host."""
        return settings(**self.settings)


DEBIAN_12 = ("debian", "12", "bookworm")
DEBIAN_13 = ("debian", "13", "trixie")
UBUNTU_22_04 = ("ubuntu", "22.04", "jammy")
UBUNTU_24_04 = ("ubuntu", "24.04", "noble")

DEBIAN_550 = dict.fromkeys(
    ("libcuda1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1", "nvidia-kernel-dkms", "nvidia-smi"),
    "550.163.01-1",
)
UBUNTU_550 = dict.fromkeys(
    (
        *("libnvidia-compute-550", "nvidia-compute-utils-550", "nvidia-dkms-550"),
        *("nvidia-firmware-550-550.163.01", "nvidia-kernel-common-550", "nvidia-modprobe"),
        "nvidia-utils-550",
    ),
    "550.163.01-0ubuntu1",
)

CASES = {
    "debian-13-distribution-550": Case(*DEBIAN_13),
    "debian-13-distribution-550-open": Case(*DEBIAN_13, {"driver_kernel_modules": "open"}),
    "debian-13-nvidia-590": Case(*DEBIAN_13, {"driver_branch": 590}),
    "debian-13-present": Case(*DEBIAN_13, {"driver_source": "present"}),
    "debian-12-nvidia-550": Case(*DEBIAN_12),
    "debian-12-nvidia-550-open": Case(*DEBIAN_12, {"driver_kernel_modules": "open"}),
    "debian-12-nvidia-580": Case(*DEBIAN_12, {"driver_branch": 580}),
    "debian-12-nvidia-550-to-580": Case(*DEBIAN_12, {"driver_branch": 580}, DEBIAN_550),
    "debian-12-mirror-550": Case(
        *DEBIAN_12,
        {
            "nvidia_repository": "http://mirror.example/cuda",
            "nvidia_repository_key": "0123456789ABCDEF0123456789ABCDEF01234567",
            "driver_version": "550.163.01",
        },
    ),
    "ubuntu-24.04-present": Case(*UBUNTU_24_04, {"driver_source": "present"}),
    "ubuntu-22.04-nvidia-550": Case(*UBUNTU_22_04),
    "ubuntu-22.04-nvidia-580": Case(*UBUNTU_22_04, {"driver_branch": 580}),
    "ubuntu-24.04-nvidia-550": Case(*UBUNTU_24_04),
    "ubuntu-24.04-nvidia-550-open": Case(*UBUNTU_24_04, {"driver_kernel_modules": "open"}),
    "ubuntu-24.04-nvidia-580": Case(*UBUNTU_24_04, {"driver_branch": 580}),
    "ubuntu-24.04-nvidia-550-to-580": Case(*UBUNTU_24_04, {"driver_branch": 580}, UBUNTU_550),
}


def snapshot(case: Case) -> str:
    """Everything that the driver's and the toolkit's stage would do on the host of a case."""
    reading = case.host()
    plan = make_plan(case.chosen(), load_release(case.chosen().engine), reading)
    sections = [
        ("sources", _sources(plan)),
        ("driver packages", _names(plan.driver.packages)),
        ("removed with it", "\n".join(plan.driver.obsolete)),
        ("kernel headers", _names(plan.driver.headers)),
        ("toolkit packages", _names(plan.driver.cuda_packages)),
        ("nvcc", plan.driver.nvcc or "/usr/bin/nvcc"),
        ("commands", "\n".join(_commands(plan, reading))),
    ]
    if plan.driver.pins is not None:
        after = _after(plan, reading)
        sections.append(("kept afterwards", "\n".join(_keeping(plan, after))))
    return "".join(f"=== {title}\n{text.rstrip() or '(none)'}\n\n" for title, text in sections)


def _sources(plan: Plan) -> str:
    text = render(
        "fortyninety.sources.j2",
        sources=plan.apt_sources,
        repository=plan.driver.repository,
        keyring=NVIDIA_KEYRING,
    )
    return f"{ARCHIVE_SOURCES}\n{text}"


def _names(packages: tuple[Package, ...]) -> str:
    return "\n".join(each.specification for each in packages)


def _commands(plan: Plan, reading: HostReading) -> Iterator[str]:
    """What runs before and with the installation, in the order of tasks/driver.py and cuda.py."""
    driver = plan.driver
    if driver.repository is not None:
        yield from _ran(apt.packages, reading, driver.tools)
        yield from _ran(
            repository_key.trusted,
            reading,
            NVIDIA_KEYRING,
            address=driver.repository.key_address,
            fingerprint=driver.repository.fingerprint,
        )
    if driver.repository_pins:
        text = render("fortyninety.preferences.j2", reason="...", pins=driver.repository_pins)
        yield from _ran(files.file, reading, NVIDIA_PREFERENCES, text)
    if driver.pins is not None:
        yield from _keeping(plan, reading)
        yield from _ran(
            driver_change.prepared,
            reading,
            driver.pins,
            driver.packages,
            without=driver.obsolete,
            service=SERVICE,
        )
        yield from _ran(
            apt.packages,
            reading,
            (*driver.headers, *driver.packages),
            without=driver.obsolete,
            initramfs_behind=NOUVEAU_CONFIGURATION,
        )
        yield from _ran(initramfs.holding, reading, NOUVEAU_CONFIGURATION)
    yield from _ran(cuda.without_driver, reading, driver.cuda_packages)
    yield from _ran(apt.packages, reading, driver.cuda_packages, hold=True)


def _keeping(plan: Plan, reading: HostReading) -> Iterator[str]:
    """The pins, the exceptions of unattended upgrades, and the holds."""
    yield from _ran(
        driver_change.pinned,
        reading,
        plan.driver.pins,
        preferences=DRIVER_PREFERENCES,
        unattended=UNATTENDED_UPGRADES,
    )
    yield from _ran(driver_change.held, reading, plan.driver.pins)


def _after(plan: Plan, before: HostReading) -> HostReading:
    """The host once the packages are there, with a library that came along by itself."""
    ubuntu = before.os.distribution == "ubuntu"
    upstream = {550: "550.163.01", 580: "580.126.09"}.get(plan.settings.driver_branch, "590.48.01")
    version = f"{upstream}-{'0ubuntu1' if ubuntu else '1'}"
    packages = {
        name: package
        for name, package in before.apt.packages.items()
        if name not in plan.driver.obsolete and not package.held
    }
    for each in plan.driver.packages:
        packages[each.name] = PackageState(version if each.version else "535.171.04-1", held=False)
    came_along = f"libnvidia-extra-{plan.settings.driver_branch}" if ubuntu else "libnvcuvid1"
    packages[came_along] = PackageState(version, held=False)
    return changed(before, apt__packages=packages)


def _ran(operation: Any, reading: HostReading, *args: Any, **kwargs: Any) -> Iterator[str]:
    """The commands of an operation on a host in `state`, as text."""
    compare = inspect.getclosurevars(operation._inner).nonlocals["function"]
    with ctx_host.use(SimpleNamespace(noop=lambda reason: None)):
        for command in compare(reading, *args, **kwargs):
            yield _as_text(command)


def _as_text(command: Any) -> str:
    if isinstance(command, files.Upload):
        return f"--- {command.path} ({' '.join(command.access)})\n{command.data.decode()}---"
    if isinstance(command, FunctionCommand) and command.function is apt._run:
        command = command.args[0]  # once nobody else uses apt
    elif isinstance(command, FunctionCommand) and command.function is apt._worked_out:
        command = f"{apt.APT_GET} update; {apt.APT_GET} --assume-no install {command.args[0]}"
    elif isinstance(command, FunctionCommand):
        return f"(in Python) {command.function.__name__}"
    text = f"$ {command}" if isinstance(command, str | StringCommand) else repr(command)
    # Its options are the same everywhere, and nothing of the driver's.
    text = text.replace(apt.APT_GET, "apt-get").replace(f"{apt.QUIETLY} ", "")
    return NOTE.sub(r"note \2 \1", text)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for stale in FOLDER.glob("*.txt"):
        stale.unlink()
    for case_name, each_case in CASES.items():
        (FOLDER / f"{case_name}.txt").write_text(snapshot(each_case))
