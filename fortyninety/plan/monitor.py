"""Plan a monitor: Prometheus and Alertmanager with what they watch a fleet by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fortyninety.engine.command_line import LOOPBACK_ADDRESS
from fortyninety.gateway.certificates import AuthoritySource, CertificateSource
from fortyninety.monitoring.exported import monitor_files
from fortyninety.monitoring.watched import Itself, WatchedBox
from fortyninety.packages.package import Package
from fortyninety.plan.paths import (
    ALERTMANAGER_CONFIGURATION,
    ALERTMANAGER_LOADED,
    ALERTMANAGER_RUN,
    ALERTMANAGER_SERVICE,
    ALERTMANAGER_STARTED,
    ALERTMANAGER_STATE,
    ALERTMANAGER_UNIT,
    MONITOR_ACCOUNT,
    MONITOR_AUTHORITY,
    MONITOR_FOLDER,
    MONITOR_IDENTITY,
    MONITOR_RULES,
    MONITOR_WEBHOOK,
    PROMETHEUS_CONFIGURATION,
    PROMETHEUS_LOADED,
    PROMETHEUS_RUN,
    PROMETHEUS_SERVICE,
    PROMETHEUS_STARTED,
    PROMETHEUS_STATE,
    PROMETHEUS_UNIT,
)
from fortyninety.settings.model import Settings
from fortyninety.templates import render

PROMETHEUS = Package("prometheus")
ALERTMANAGER = Package("prometheus-alertmanager")


@dataclass(frozen=True)
class Watch:
    """What a monitor watches, by which certificates, and where the URL for its alerts is read.

    Without `webhook` nobody is told of alerts. `itself` is the monitor's name, where it says how it
    is and is none of the boxes.
    """

    boxes: tuple[WatchedBox, ...]
    identity: CertificateSource
    authority: AuthoritySource
    webhook: Callable[[], str] | None
    itself: str | None = None


@dataclass(frozen=True)
class Daemon:
    """One of a monitor's two services.

    The running one noted `digest` of its unit in `started`, and in `loaded` the SHA-256 of all that
    it has in force, which is `in_force` of what is planned.
    """

    service: str
    unit: str
    text: str
    started: str
    loaded: str
    digest: str
    in_force: str


@dataclass(frozen=True)
class MonitorPlan:
    """What is put onto a monitor: `files` are texts by their names below its folder."""

    watch: Watch
    files: Mapping[str, str]
    prometheus: Daemon
    alertmanager: Daemon

    @property
    def packages(self) -> tuple[Package, ...]:
        """What it is made of."""
        return (PROMETHEUS, ALERTMANAGER)


def plan_monitor(settings: Settings, watch: Watch) -> MonitorPlan:
    """How a monitor watches these boxes."""
    exporter = f"{LOOPBACK_ADDRESS}:{settings.signals_exporter_port}"
    alerts = f"{LOOPBACK_ADDRESS}:{settings.monitor_alerts_port}"
    files = monitor_files(
        watch.boxes,
        rules=[path.rpartition("/")[2] for path in MONITOR_RULES],
        alertmanager=alerts,
        webhook=None if watch.webhook is None else MONITOR_WEBHOOK,
        authority=MONITOR_AUTHORITY,
        identity=MONITOR_IDENTITY,
        itself=None if watch.itself is None else Itself(watch.itself, exporter),
    )
    return MonitorPlan(
        watch=watch,
        files=files,
        prometheus=_daemon(
            files,
            "fortyninety-prometheus.service.j2",
            service=PROMETHEUS_SERVICE,
            unit=PROMETHEUS_UNIT,
            configuration=PROMETHEUS_CONFIGURATION,
            # Targets and certificates are read again by themselves.
            loads=(PROMETHEUS_CONFIGURATION, *MONITOR_RULES),
            folders=(PROMETHEUS_STATE, PROMETHEUS_RUN),
            notes=(PROMETHEUS_STARTED, PROMETHEUS_LOADED),
            port=settings.monitor_port,
            retention=settings.monitor_retention_gib,
        ),
        alertmanager=_daemon(
            files,
            "fortyninety-alertmanager.service.j2",
            service=ALERTMANAGER_SERVICE,
            unit=ALERTMANAGER_UNIT,
            configuration=ALERTMANAGER_CONFIGURATION,
            loads=(ALERTMANAGER_CONFIGURATION,),
            folders=(ALERTMANAGER_STATE, ALERTMANAGER_RUN),
            notes=(ALERTMANAGER_STARTED, ALERTMANAGER_LOADED),
            port=settings.monitor_alerts_port,
        ),
    )


def _daemon(
    files: Mapping[str, str],
    template: str,
    *,
    service: str,
    unit: str,
    configuration: str,
    loads: tuple[str, ...],
    folders: tuple[str, str],
    notes: tuple[str, str],
    **values: object,
) -> Daemon:
    state, run = folders
    started, loaded = notes

    def text(digest: str) -> str:
        return render(
            template,
            service=service,
            account=MONITOR_ACCOUNT,
            address=LOOPBACK_ADDRESS,
            configuration=configuration,
            loads=loads,
            state=state,
            run=run,
            started=started,
            loaded=loaded,
            digest=digest,
            **values,
        )

    digest = hashlib.sha256(text("").encode()).hexdigest()[:16]
    whole = "".join(files[path.removeprefix(f"{MONITOR_FOLDER}/")] for path in loads)
    return Daemon(
        service=service,
        unit=unit,
        text=text(digest),
        started=started,
        loaded=loaded,
        digest=digest,
        in_force=hashlib.sha256(whole.encode()).hexdigest(),
    )
