"""Have a host watch the boxes, by Prometheus and Alertmanager, or not any more."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping

from pyinfra import host

from fortyninety.deadlines import UNIT
from fortyninety.gateway.certificates import AuthoritySource, CertificateSource
from fortyninety.monitoring.webhook import WebhookUnusable
from fortyninety.operations.certificates import Access, absent, believed, signed
from fortyninety.operations.converge import Command, converging, failing, within
from fortyninety.operations.files import Upload, file_commands
from fortyninety.operations.loading import Loading, running_with
from fortyninety.operations.reasons import differs
from fortyninety.plan.monitor import Daemon
from fortyninety.plan.paths import (
    ALERTMANAGER_SERVICE,
    ALERTMANAGER_UNIT,
    MONITOR_ACCOUNT,
    MONITOR_AUTHORITY,
    MONITOR_FOLDER,
    MONITOR_IDENTITY,
    MONITOR_WEBHOOK,
    PROMETHEUS_CONFIGURATION,
    PROMETHEUS_SERVICE,
    PROMETHEUS_UNIT,
)
from fortyninety.survey.reading import HostReading

CANDIDATE = f"{MONITOR_FOLDER}/candidate"
SERVICES = (PROMETHEUS_SERVICE, ALERTMANAGER_SERVICE)
# Root's and of the account that reads it, which cannot change it.
SECRET = Access("640", "root", MONITOR_ACCOUNT)
PUBLIC = Access("644", "root", "root")


@converging
def identity(reading: HostReading, signer: CertificateSource) -> Iterator[Command]:
    """The certificate that boxes know the monitor by, with its key, for Prometheus alone."""
    yield from signed(reading, MONITOR_IDENTITY, reading.monitor_identity, signer, SECRET)


@converging
def authority(reading: HostReading, its: AuthoritySource) -> Iterator[Command]:
    """The certificate of the fleet's authority, by which the monitor knows the boxes."""
    yield from believed(reading, MONITOR_AUTHORITY, its, PUBLIC)


@converging
def webhook(reading: HostReading, read: Callable[[], str] | None) -> Iterator[Command]:
    """The URL that `read` returns, for Alertmanager alone; none without `read`."""
    if read is None:
        yield from absent(reading, MONITOR_WEBHOOK)
        return
    try:
        text = read()
    except WebhookUnusable as error:
        yield failing(f"alert_webhook_url_file: {error}")
        return
    commands = list(file_commands(reading, MONITOR_WEBHOOK, text, **SECRET._asdict()))
    if not commands:
        host.noop(f"{MONITOR_WEBHOOK} is as it should be")
    yield from commands


@converging
def configuration(reading: HostReading, texts: Mapping[str, str]) -> Iterator[Command]:
    """Files of these texts in the monitor's folder, all at once and after promtool and amtool."""
    commands = [
        command
        for name, text in texts.items()
        for command in file_commands(reading, f"{MONITOR_FOLDER}/{name}", text)
    ]
    if not commands:
        host.noop(f"{PROMETHEUS_CONFIGURATION} and what it reads are as they should be")
        return
    yield f"rm -rf {CANDIDATE}"
    for name, text in texts.items():
        yield Upload(f"{CANDIDATE}/{name}", text.encode())
    yield (
        f"( trap 'rm -rf {CANDIDATE}' EXIT; cd {CANDIDATE} && "
        "said=$(promtool check config prometheus.yml 2>&1 && "
        "amtool check-config alertmanager.yml 2>&1) || "
        "{ printf '%s\\n' \"$said\" >&2; exit 1; } )"
    )
    yield from commands


@converging
def running(reading: HostReading, daemon: Daemon) -> Iterator[Command]:
    """A service of the monitor, of the unit on disk and with the files on disk in force."""
    yield from running_with(
        reading,
        Loading(
            daemon.service,
            started=daemon.started,
            digest=daemon.digest,
            loaded=daemon.loaded,
            in_force=daemon.in_force,
        ),
    )


@converging
def gone(reading: HostReading) -> Iterator[Command]:
    """No monitor, and none of its files. The packages stay, and what it noted of the boxes."""
    units = (PROMETHEUS_UNIT, ALERTMANAGER_UNIT)
    active = [
        each
        for each in SERVICES
        if reading.unit(each, "ActiveState") not in ("", "inactive", "failed")
    ]
    there = [path for path in (*units, MONITOR_IDENTITY) if path in reading.files]
    if not active and not there:
        host.noop("there is no monitor")
        return
    differs("a monitor is here; expected none")
    names = shlex.join(SERVICES)
    yield within(
        UNIT,
        f"{{ systemctl disable --now --quiet {names} 2>/dev/null || true; }} && "
        f"rm -rf {MONITOR_FOLDER} && rm -f {shlex.join(units)} && systemctl daemon-reload && "
        f"{{ systemctl reset-failed {names} 2>/dev/null || true; }}",
    )
