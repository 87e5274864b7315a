"""Have a host say how it is, or nothing any more."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from pyinfra import host, state

from fortyninety.deadlines import UNIT
from fortyninety.gateway.certificates import AuthoritySource
from fortyninety.operations.brought import noting_names
from fortyninety.operations.certificates import Access, absent, believed
from fortyninety.operations.converge import Command, converging, failing, within
from fortyninety.operations.files import Upload, file_commands
from fortyninety.operations.reasons import differs
from fortyninety.plan.paths import (
    EXPORTER_SERVICE,
    EXPORTER_UNIT,
    FRONT_IDENTITY,
    MONITOR_IDENTITY,
    SIGNALS_ACCOUNT,
    SIGNALS_AUTHORITY,
    SIGNALS_FOLDER,
    SIGNALS_FRONT_IDENTITY,
    SIGNALS_KNOWN,
    SIGNALS_MONITOR,
    SIGNALS_SERVICE,
    SIGNALS_TIMER,
    SIGNALS_TIMER_UNIT,
    SIGNALS_UNIT,
)
from fortyninety.survey.reading import CertificateReading, HostReading

# What is started at boot.
UNITS = (EXPORTER_SERVICE, SIGNALS_TIMER)
FILES = (
    *(SIGNALS_UNIT, SIGNALS_TIMER_UNIT, EXPORTER_UNIT, SIGNALS_KNOWN),
    *(SIGNALS_AUTHORITY, SIGNALS_FRONT_IDENTITY, SIGNALS_MONITOR),
)
PUBLIC = Access("644", "root", "root")


@converging
def authority(reading: HostReading, its: AuthoritySource | None) -> Iterator[Command]:
    """The certificate of the fleet's authority, for what reads the box; else none."""
    if its is None:
        yield from absent(reading, SIGNALS_AUTHORITY)
        return
    yield from believed(reading, SIGNALS_AUTHORITY, its, PUBLIC)


@converging
def front_identity(reading: HostReading, *, shown: bool) -> Iterator[Command]:
    """What boxes know a front by, without its key, for what reads the host; else nothing."""
    its = reading.front.identity if shown else None
    yield from without_key(reading, its, FRONT_IDENTITY, SIGNALS_FRONT_IDENTITY)


@converging
def monitor_identity(reading: HostReading, *, shown: bool) -> Iterator[Command]:
    """What boxes know a monitor by, the same way."""
    its = reading.monitor_identity if shown else None
    yield from without_key(reading, its, MONITOR_IDENTITY, SIGNALS_MONITOR)


def without_key(
    reading: HostReading, its: CertificateReading | None, source: str, path: str
) -> Iterator[Command]:
    """The certificates of `source` at `path`, as the host itself has them."""
    if its is None:
        yield from absent(reading, path)
        return
    if its.certificates is None:
        # The stage before this one makes it.
        differs(f"{source} is not there yet")
        if state.is_executing:
            yield failing(f"{source} has no certificate; expected the one of this deploy")
        else:
            yield Upload(path, b"", **PUBLIC._asdict())
        return
    commands = list(file_commands(reading, path, its.certificates, **PUBLIC._asdict()))
    if not commands:
        host.noop(f"{path} is as it should be")
    yield from commands


@converging
def running(reading: HostReading, units: Mapping[str, str]) -> Iterator[Command]:
    """The units (path and text) as they are planned, and a first reading that succeeded.

    The account is made with them: nothing else tells that it is missing than a reading that fails.
    """
    files = [
        command for path, text in units.items() for command in file_commands(reading, path, text)
    ]
    wrong = list(_unit_differences(reading))
    if not files and not wrong:
        host.noop(f"{' and '.join(UNITS)} are enabled and active")
        return
    differs(*wrong)
    yield from files
    made = (
        f"{noting_names('account', SIGNALS_ACCOUNT)} && useradd --system --user-group "
        f"--no-create-home --shell /usr/sbin/nologin {SIGNALS_ACCOUNT}"
    )
    yield f"getent passwd {SIGNALS_ACCOUNT} >/dev/null || {{ {made}; }}"
    names, started = shlex.join(UNITS), shlex.join((SIGNALS_SERVICE, *UNITS))
    journal = " ".join(f"--unit={each}" for each in (SIGNALS_SERVICE, EXPORTER_SERVICE))
    yield within(
        UNIT,
        # One command: a cut after the reload alone would leave an earlier exporter running.
        f"systemctl unmask --quiet {started} && systemctl daemon-reload && "
        f"systemctl enable --quiet {names} && "
        f"{{ systemctl reset-failed {started} 2>/dev/null; systemctl restart {started}; }} || "
        f"{{ journalctl {journal} --lines=10 --output=cat >&2; exit 1; }}",
    )


def _unit_differences(reading: HostReading) -> Iterator[str]:
    for name in UNITS:
        for key, expected in (("UnitFileState", "enabled"), ("ActiveState", "active")):
            if (found := reading.unit(name, key)) != expected:
                yield f"{name} is {found or 'missing'}; expected {expected}"
    if reading.unit(SIGNALS_SERVICE, "ActiveState") == "failed":
        yield f"{SIGNALS_SERVICE} failed"
    for name in (*UNITS, SIGNALS_SERVICE):
        if reading.unit(name, "NeedDaemonReload") == "yes":
            yield f"{name} changed on disk since systemd read it"


@converging
def silent(reading: HostReading) -> Iterator[Command]:
    """Nothing of it. The package and the account stay, and the package's own unit masked."""
    there = [path for path in FILES if path in reading.files]
    active = [
        each
        for each in UNITS
        if reading.unit(each, "ActiveState") not in ("", "inactive", "failed")
    ]
    if not there and not active:
        host.noop("there are no signals")
        return
    differs("signals are here; expected none")
    names = shlex.join((*UNITS, SIGNALS_SERVICE))
    yield within(
        UNIT,
        f"{{ systemctl disable --now --quiet {names} 2>/dev/null || true; }} && "
        f"rm -f -- {shlex.join(FILES)} && rm -rf -- {SIGNALS_FOLDER} && systemctl daemon-reload && "
        f"{{ systemctl reset-failed {names} 2>/dev/null || true; }}",
    )
