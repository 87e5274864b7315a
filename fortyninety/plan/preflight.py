"""Collect every reason not to start, from the settings and readings, before any change."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.cell.membership import Membership, member_problems
from fortyninety.driver.nvidia_repository import OLDEST_BRANCHES, UBUNTU_NAMES_END
from fortyninety.driver.pins import installed_module
from fortyninety.driver.plan import (
    DISTRIBUTION_DRIVERS,
    SUPPORTED_DISTRIBUTIONS,
    changes_driver,
    driver_source,
    wanted_version,
)
from fortyninety.engine.command_line import FlagAbsent
from fortyninety.firewall.questions import firewall_problems
from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.host_account import account_problems
from fortyninety.plan.host_cards import card_settings_problems, host_card_problems
from fortyninety.plan.host_folders import folder_problems
from fortyninety.plan.host_gateway import gateway_problems, gateway_settings_problems
from fortyninety.plan.host_monitor import monitor_problems
from fortyninety.plan.host_roles import engine_left_problems, role_problems
from fortyninety.plan.paths import RUN_FILE_UNINSTALLER
from fortyninety.plan.plan import make_plan, tensor_parallel_size
from fortyninety.plan.python import PYTHON_SOURCES
from fortyninety.problem import Problem
from fortyninety.releases.lock import seal_problem
from fortyninety.releases.release import Release, load_release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading
from fortyninety.text.printable import printable

NETWORK_FILESYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p"})


def settings_problems(host: str, settings: Settings) -> Iterator[Problem]:
    """What is wrong with the settings taken together, before the host is looked at."""
    release = load_release(settings.engine)
    if not settings.has_engine:
        yield from role_problems(host, settings)
        return
    yield from _engine_problems(host, settings, release)
    if release.driver_floor is not None and settings.driver_branch < release.driver_floor:
        yield Problem(
            host=host,
            subject="driver_branch",
            found=str(settings.driver_branch),
            expected=f"{release.driver_floor} or later for engine {release.release}",
        )
    version = settings.driver_version
    if version is not None and int(version.partition(".")[0]) != settings.driver_branch:
        yield Problem(
            host=host,
            subject="driver_version",
            found=repr(version),
            expected=f"one of branch {settings.driver_branch}",
            remedy="Set driver_branch with it",
        )
    yield from gateway_settings_problems(host, settings, release)
    yield from card_settings_problems(host, settings)


def _engine_problems(host: str, settings: Settings, release: Release) -> Iterator[Problem]:
    if (seal := seal_problem(release.release)) is not None:
        yield Problem(
            host=host,
            subject=f"engines/{release.release}/requirements.txt",
            found=seal[0],
            expected=seal[1],
            remedy="A lock is made, not edited: change requirements.in, then "
            f"`fortyninety engine lock {release.release}`",
        )
    if not release.listens_where_told and settings.listen_address != "0.0.0.0":
        yield Problem(
            host=host,
            subject="listen_address",
            found=repr(settings.listen_address),
            expected=(
                f"'0.0.0.0' for engine {release.release}, which ignores --host and listens on "
                "every interface"
            ),
            remedy=f"Choose another engine, or set it and keep strangers from port {settings.port}",
        )
    backend, names = settings.attention_backend, release.attention_backend.names
    if backend is not None and backend not in names:
        yield Problem(
            host=host,
            subject="attention_backend",
            found=repr(backend),
            expected=(
                f"one of {', '.join(names)} for engine {release.release}, or None for its card's "
                "choice"
            ),
        )
    own = {flag: key for key, flag in release.flags.items() if flag is not None}
    own |= {flag: key for key, flag in release.switched_off.items()}
    for word in settings.engine_arguments:
        if (key := own.get(word.partition("=")[0])) is not None:
            yield Problem(
                host=host,
                subject="engine_arguments",
                found=f"with {word}",
                expected="no flag that has a setting",
                remedy=f"Set {key}",
            )
    if settings.package_index == "none" and settings.wheel_directory is None:
        yield Problem(
            host=host,
            subject="wheel_directory",
            found="None",
            expected="a folder of wheels on the host, since package_index is 'none'",
        )


def host_problems(
    host: str,
    settings: Settings,
    reading: HostReading,
    cell: Membership | None = None,
    place: Place = ALONE,
) -> Iterator[Problem]:
    """What is wrong with the host for these settings."""
    if not reading.readable:
        yield Problem(
            host=host,
            subject="survey",
            found=reading.unreadable or "empty",
            expected="a reading of the host",
            remedy="Its shell did not run the survey: see the error above"
            if reading.unreadable is None
            else "It is as the host answered: look at the host before anything is done to it",
        )
        return
    if reading.os.uid:
        # What another account cannot read would be a reason of its own.
        yield Problem(
            host=host,
            subject="account",
            found=f"user id {reading.os.uid}",
            expected="root, or a user with sudo",
            remedy='Set ssh_user = "root", or _sudo = True, in the inventory',
        )
        return
    yield from _system_problems(host, reading, with_engine=settings.has_engine)
    yield from monitor_problems(host, settings, reading)
    if not settings.has_engine:
        yield from engine_left_problems(host, reading)
        yield from gateway_problems(host, settings, reading, place)
        yield from folder_problems(host, settings, reading)
        yield from firewall_problems(host, settings, reading)
        return
    yield from _python_problems(host, settings, reading)
    yield from _driver_problems(host, settings, reading)
    yield from host_card_problems(host, settings, reading)
    yield from _disk_problems(host, settings, reading)
    yield from _port_problems(host, settings, reading)
    yield from gateway_problems(host, settings, reading, place)
    yield from account_problems(host, settings, reading)
    yield from folder_problems(host, settings, reading)
    yield from firewall_problems(host, settings, reading)
    if cell is not None:
        yield from member_problems(host, cell, reading, tensor_parallel_size(settings, reading))
    try:
        make_plan(settings, load_release(settings.engine), reading, cell)
    except FlagAbsent as absent:
        yield Problem(
            host=host,
            subject=absent.key,
            found="set",
            expected=f"unset for engine {settings.engine}",
            remedy=f"{absent}",
        )


def _system_problems(host: str, reading: HostReading, *, with_engine: bool) -> Iterator[Problem]:
    found = (reading.os.distribution, reading.os.version)
    if found not in SUPPORTED_DISTRIBUTIONS:
        yield Problem(
            host=host,
            subject="distribution",
            found=reading.os.name,
            expected=" or ".join(SUPPORTED_DISTRIBUTIONS.values()),
            remedy=(
                "On another one only a driver that its image brings could be used, and nobody tried"
            ),
        )
    elif not any(each.suite == reading.os.codename for each in reading.apt.archives):
        yield Problem(
            host=host,
            subject="apt",
            found="without an archive of its own release",
            expected=f"a source for {reading.os.codename} main in /etc/apt",
        )
    if reading.os.machine != "x86_64":
        yield Problem(host=host, subject="machine", found=reading.os.machine, expected="x86_64")
    if with_engine and reading.kernels.next is None:
        yield Problem(
            host=host,
            subject="kernel",
            found="not in /boot",
            expected="an installed linux-image package, which the driver's module is built for",
        )


def _python_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    chosen = settings.python_source
    right = PYTHON_SOURCES.get((reading.os.distribution, reading.os.version), "uv")
    # Debian 12's package fits into Debian 13 alone, and a distribution either has its own or not.
    if chosen in ("distribution", "debian-12") and chosen != right:
        yield Problem(
            host=host,
            subject="python_source",
            found=repr(chosen),
            expected=f"'auto', {right!r} or 'uv' on {reading.os.name}"
            if right != "uv"
            else f"'auto' or 'uv' on {reading.os.name}",
        )


def _driver_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    if (reading.os.distribution, reading.os.version) not in SUPPORTED_DISTRIBUTIONS:
        return
    if driver_source(settings, reading) == "present":
        yield from _present_driver_problems(host, settings, reading)
        return
    yield from _source_problems(host, settings, reading)
    if RUN_FILE_UNINSTALLER in reading.files:
        yield Problem(
            host=host,
            subject="driver",
            found=f"installed by NVIDIA's own installer ({RUN_FILE_UNINSTALLER} is there)",
            expected="a driver that came from packages, or none",
            remedy="Remove it with nvidia-uninstall, or keep it with driver_source = 'present'",
        )
    if not settings.allow_reboot and reading.loaded_driver and changes_driver(settings, reading):
        yield Problem(
            host=host,
            subject="driver",
            found=f"{reading.loaded_driver}, in memory",
            expected=(
                f"{wanted_version(settings)}*, which takes a reboot, and allow_reboot is False"
            ),
            remedy="Set allow_reboot = True, or leave the driver as it is",
        )
    floor = load_release(settings.engine).driver_floor
    installed = installed_module(reading) or reading.loaded_driver
    if floor is None or installed is None or int(installed.partition(".")[0]) >= floor:
        return
    # A later branch may be on its way: then the driver's stage brings it.
    if settings.driver_branch < floor or settings.driver_branch == int(installed.partition(".")[0]):
        yield Problem(
            host=host,
            subject="driver",
            found=installed.partition("-")[0],
            expected=f"{floor} or later for engine {settings.engine}",
            remedy=f"Choose another engine, or bring the driver to branch {floor}",
        )


def _present_driver_problems(
    host: str, settings: Settings, reading: HostReading
) -> Iterator[Problem]:
    """What is wrong with a driver that is not to be touched."""
    remedy = "Put it right in the host's image, or have it installed: driver_source = 'auto'"
    loaded = reading.loaded_driver
    if loaded is None:
        yield Problem(
            host=host,
            subject="driver",
            found=f"out of use (nvidia-smi says: {reading.cards.error})"
            if reading.cards.error
            else "absent (there is no nvidia-smi, or no card that it shows)",
            expected=(
                f"{settings.driver_branch} or later, in memory, since driver_source is 'present'"
            ),
            remedy=remedy,
        )
    elif int(loaded.partition(".")[0]) < settings.driver_branch:
        yield Problem(
            host=host,
            subject="driver",
            found=loaded,
            expected=f"{settings.driver_branch} or later, since driver_source is 'present'",
            remedy=remedy,
        )


def _source_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """Where the wanted driver or toolkit is not to be had for the host's distribution."""
    distribution = (reading.os.distribution, reading.os.version)
    name, branch = SUPPORTED_DISTRIBUTIONS[distribution], settings.driver_branch
    source = driver_source(settings, reading)
    own = DISTRIBUTION_DRIVERS.get(distribution)
    if source == "distribution" and own != branch:
        yield Problem(
            host=host,
            subject="driver_source",
            found="'distribution'",
            expected=f"'auto' or 'nvidia' for branch {branch} on {name}",
            remedy=f"Its own archive has branch {own}"
            if own
            else "Its own archive has none from 550 on",
        )
    oldest = OLDEST_BRANCHES.get(distribution, 0)
    fetched = not (installed_module(reading) or "").startswith(wanted_version(settings))
    public = source == "nvidia" and settings.nvidia_repository is None
    if public and fetched and branch < oldest:
        yield Problem(
            host=host,
            subject="driver_branch",
            found=str(branch),
            expected=f"{oldest} or later in NVIDIA's repository for {name}"
            + (f", or {own} of its own archive" if own else ""),
            remedy="Or name a repository that has it: nvidia_repository",
        )
    if source == "nvidia" and reading.os.distribution == "ubuntu" and branch >= UBUNTU_NAMES_END:
        yield Problem(
            host=host,
            subject="driver_branch",
            found=str(branch),
            expected=f"earlier than {UBUNTU_NAMES_END} on {name}",
            remedy=(
                "NVIDIA renamed its packages for Ubuntu there, and these names are not known yet"
            ),
        )


def _disk_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    if settings.allow_non_nvme:
        return
    remedy = "Choose another models_directory, or set allow_non_nvme = True to insist"
    if reading.disk.filesystem in NETWORK_FILESYSTEMS:
        yield Problem(
            host=host,
            subject="models_directory",
            found=f"on {reading.disk.filesystem}",
            expected="on a local NVMe disk",
            remedy=remedy,
        )
        return
    slow = [
        f"{name}{' (rotational)' if rotational else ''}"
        for name, rotational in reading.disk.drives
        if not name.startswith("nvme")
    ]
    if slow or not reading.disk.drives:
        where = ", ".join(slow) or f"{reading.disk.filesystem} on no disk that lsblk shows"
        yield Problem(
            host=host,
            subject="models_directory",
            found=f"on {where}",
            expected="on a local NVMe disk",
            remedy=remedy,
        )


def _port_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    if not reading.network.foreign_sockets:
        return
    who = "; ".join(" ".join(listener.split()) for listener in reading.network.listeners)
    yield Problem(
        host=host,
        subject=f"port {settings.port}",
        found=f"taken: {printable(who, 500) or 'by what cannot be named'}",
        expected="free, or held by vllm.service",
        remedy="Stop what listens there, or choose another port",
    )


def lease_problems(host: str, reading: HostReading) -> Iterator[Problem]:
    """Who is changing the host just now, so that what was read of it may not be true any more."""
    if reading.lease.held:
        yield Problem(
            host=host,
            subject="lease",
            found=f"held by {reading.lease.holder or 'somebody who does not say who it is'}",
            expected="a host that nobody else is changing",
            remedy="Run this again when that is done",
        )
