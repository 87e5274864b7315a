"""Readings of hosts, for tests that need one without having a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fortyninety.settings.defaults import default_settings
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.reading import (
    AptArchive,
    AptReading,
    CardsReading,
    DiskReading,
    GpuState,
    HostReading,
    KernelsReading,
    OsReading,
    PackageState,
)

RTX_4090 = "0x2684"

# A bare host in the survey's own records.
BARE = (
    "begin",
    "os\tdebian\t13\ttrixie\tDebian GNU/Linux 13 (trixie)",
    "machine\tx86_64",
    "boot\tone",
    "apt\t/etc/apt/sources.list:1\thttp://archive.example/debian\ttrixie\tmain",
    "package\tlinux-image-amd64\t6.12.57-1\tinstall\tinstalled",
    "kernel\t6.12.57+deb13-amd64\t",
    "pci\t0000:01:00.0\t0x2684",
    "pci\t0000:02:00.0\t0x2684",
    "user\t",
    "begun\t0",
    "filesystem\text4\t1000000000000",
    "disk\tnvme0n1\t0",
    "end",
)


def records(*more: str, without: str = "\0") -> list[str]:
    """The records of a bare host with `more`, without those that begin so."""
    return [*(line for line in BARE[:-1] if not line.startswith(without)), *more, BARE[-1]]


def default_data() -> dict[str, Any]:
    """The settings of group_data/all.py, as pyinfra reads them."""
    return dict(default_settings())


def settings(**changes: Any) -> Settings:
    """Valid settings: the defaults with `changes`."""
    parsed = parse_settings("box1", {**default_data(), **changes})
    assert isinstance(parsed, Settings), parsed
    return parsed


def changed(reading: HostReading, **changes: Any) -> HostReading:
    """The reading with `changes`, each by the name of its field, or as `<group>__<field>`."""
    groups: dict[str, Any] = {}
    for key, value in changes.items():
        group, _, field = key.partition("__")
        own = groups.get(group, getattr(reading, group))
        groups[group] = replace(own, **{field: value}) if field else value
    return replace(reading, **groups)


def bare_host(**changes: Any) -> HostReading:
    """A Debian 13 box with two RTX 4090 and an NVMe disk, as its installer left it."""
    reading = HostReading(
        os=OsReading(
            distribution="debian",
            version="13",
            codename="trixie",
            name="Debian GNU/Linux 13 (trixie)",
            machine="x86_64",
            boot_id="one",
        ),
        apt=AptReading(
            archives=[
                AptArchive(
                    "/etc/apt/sources.list", "http://archive.example/debian", "trixie", "main"
                )
            ],
            packages={
                name: PackageState("6.12.57-1", held=False)
                for name in ("linux-image-amd64", "linux-image-6.12.57+deb13-amd64")
            },
        ),
        kernels=KernelsReading(modules={"6.12.57+deb13-amd64": None}),
        cards=CardsReading(devices=[RTX_4090, RTX_4090]),
        disk=DiskReading(filesystem="ext4", free_bytes=10**12, drives=[("nvme0n1", False)]),
    )
    return changed(reading, **changes)


def gpu(index: int = 0, **changes: Any) -> GpuState:
    """An RTX 4090 as its driver shows it."""
    values: dict[str, Any] = {
        "index": index,
        "name": "NVIDIA GeForce RTX 4090",
        "uuid": f"GPU-{index}",
        "memory": 24564,
        "driver_version": "550.163.01",
        "power_limit": 450.0,
        "power_limit_minimum": 150.0,
        "power_limit_maximum": 450.0,
        "persistence": True,
    }
    return GpuState(**{**values, **changes})
