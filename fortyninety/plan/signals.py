"""Plan what a box says of itself to a monitor: the units, and what the controller knows of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fortyninety.cards.power import card_key
from fortyninety.cell.membership import Membership
from fortyninety.engine.command_line import LOOPBACK_ADDRESS
from fortyninety.gateway.certificates import AuthoritySource
from fortyninety.packages.package import Package
from fortyninety.plan.gateway import Secrets
from fortyninety.plan.paths import (
    EXPORTER_SERVICE,
    SERVICE,
    SIGNALS_ACCOUNT,
    SIGNALS_AUTHORITY,
    SIGNALS_FOLDER,
    SIGNALS_FRONT_IDENTITY,
    SIGNALS_KNOWN,
    SIGNALS_MONITOR,
    SIGNALS_SERVICE,
    SIGNALS_TIMER,
    Paths,
)
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading
from fortyninety.templates import render

NODE_EXPORTER = Package("prometheus-node-exporter")
# The same names from 1.3 (Ubuntu 22.04) to 1.9 (Debian 13).
COLLECTORS = (
    *("cpu", "diskstats", "filesystem", "hwmon", "loadavg", "meminfo", "netdev", "pressure"),
    *("stat", "textfile", "time", "timex", "uname", "vmstat"),
)
# What is no disk.
FS_TYPES_LEFT_OUT = (
    "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fuse.*|fusectl|"
    "hugetlbfs|mqueue|nsfs|overlay|proc|pstore|ramfs|rpc_pipefs|securityfs|squashfs|sysfs|tmpfs|"
    "tracefs)$"
)
# Where no disk is mounted to stay. By itself Debian's exporter leaves out /mnt and /media too: many
# have the disk of their models there.
MOUNT_POINTS_LEFT_OUT = "^/(dev|proc|run|sys|var/lib/(containers|docker)/.+)($|/)"


@dataclass(frozen=True)
class SignalsPlan:
    """What is put onto a host: `known` is the text of a file, the others of units.

    `authority` is whose certificate the host says the end of, and `shown` are the paths of those of
    its own that others know it by.
    """

    known: str
    service: str
    timer: str
    exporter: str
    authority: AuthoritySource | None = None
    shown: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[Package, ...]:
        """What it is made of."""
        return (NODE_EXPORTER,)


def plan_signals(
    settings: Settings,
    release: Release,
    paths: Paths,
    reading: HostReading,
    cell: Membership | None,
    *,
    gateway_port: int | None,
    secrets: Secrets | None,
) -> SignalsPlan | None:
    """What a host is to say; None where the settings ask for nothing."""
    if not settings.signals:
        return None
    authority = None if secrets is None else secrets.authority
    known = _known_of_gateways(settings, gateway_port, authority) | _known_of_engine(
        settings, release, paths, reading, cell
    )
    return SignalsPlan(
        known=_text(known),
        authority=authority,
        shown=tuple(_shown(settings).values()),
        service=render(
            "fortyninety-signals.service.j2",
            service=SIGNALS_SERVICE,
            account=SIGNALS_ACCOUNT,
            program=paths.signals,
            known=SIGNALS_KNOWN,
            folder=SIGNALS_FOLDER,
        ),
        timer=render(
            "fortyninety-signals.timer.j2",
            timer=SIGNALS_TIMER,
            service=SIGNALS_SERVICE,
            interval=settings.signals_interval,
        ),
        exporter=render(
            "fortyninety-node-exporter.service.j2",
            service=EXPORTER_SERVICE,
            collectors=COLLECTORS,
            folder=SIGNALS_FOLDER,
            fs_types_left_out=FS_TYPES_LEFT_OUT,
            mount_points_left_out=MOUNT_POINTS_LEFT_OUT,
            address=f"{LOOPBACK_ADDRESS}:{settings.signals_exporter_port}",
        ),
    )


def _known_of_gateways(
    settings: Settings, gateway_port: int | None, authority: AuthoritySource | None
) -> dict[str, Any]:
    """Where those answer that the host has."""
    known: dict[str, Any] = {}
    if gateway_port is not None:
        known |= {"gateway_port": gateway_port, "status_port": settings.gateway_status_port}
    if settings.is_front:
        known |= {
            "front_port": settings.gateway_port,
            "front_status_port": settings.front_status_port,
        }
    certificates = {
        **({} if authority is None else {"authority": SIGNALS_AUTHORITY}),
        **_shown(settings),
    }
    if certificates:
        known["certificates"] = certificates
    return known


def _shown(settings: Settings) -> dict[str, str]:
    """Where the host has without their keys what others know it by, by the roles it has."""
    return {
        **({"front_identity": SIGNALS_FRONT_IDENTITY} if settings.is_front else {}),
        **({"monitor": SIGNALS_MONITOR} if settings.is_monitor else {}),
    }


def _known_of_engine(
    settings: Settings,
    release: Release,
    paths: Paths,
    reading: HostReading,
    cell: Membership | None,
) -> dict[str, Any]:
    if not settings.has_engine:
        return {"cards": 0}
    limit = settings.power_limit
    caps = {"": limit} if isinstance(limit, int) else limit
    return {
        "unit": SERVICE,
        "port": settings.port if cell is None or cell.is_head else None,
        "cards": settings.gpu_count or len(reading.cards.devices),
        "power_limits": {card_key(key): cap for key, cap in caps.items()},
        "engine": {
            "release": release.release,
            "model": settings.model_name,
            "repository": settings.model_repository,
            "environment_link": paths.current_engine,
            "snapshot_link": paths.current_snapshot,
        },
        "advisories": [[each.id, each.fixed_in or ""] for each in release.advisories],
    }


def _text(known: dict[str, Any]) -> str:
    return json.dumps(known, indent=1, sort_keys=True) + "\n"
