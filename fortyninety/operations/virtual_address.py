"""Have a front share its address by keepalived, or not any more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pyinfra import host

from fortyninety.deadlines import UNIT
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.files import Upload, file_commands
from fortyninety.operations.loading import Loading, running_with
from fortyninety.operations.reasons import differs
from fortyninety.plan.paths import (
    VIRTUAL_ADDRESS_CONFIGURATION,
    VIRTUAL_ADDRESS_FOLDER,
    VIRTUAL_ADDRESS_LOADED,
    VIRTUAL_ADDRESS_SERVICE,
    VIRTUAL_ADDRESS_STARTED,
    VIRTUAL_ADDRESS_UNIT,
)
from fortyninety.survey.reading import HostReading

CANDIDATE = f"{VIRTUAL_ADDRESS_CONFIGURATION}.candidate"
# How keepalived 2.2 of Debian 12 ends a test whose configuration names scripts, without a word: it
# takes itself for a child whose parent is gone, and ends itself by SIGTERM.
ENDED_ITSELF = 143


@converging
def configuration(reading: HostReading, text: str) -> Iterator[Command]:
    """keepalived's configuration, which replaces the one before once keepalived itself read it."""
    commands = list(file_commands(reading, VIRTUAL_ADDRESS_CONFIGURATION, text))
    if not commands:
        host.noop(f"{VIRTUAL_ADDRESS_CONFIGURATION} is as it should be")
        return
    yield Upload(CANDIDATE, text.encode())
    yield (
        f"( trap 'rm -f {CANDIDATE}' EXIT; "
        f"said=$(/usr/sbin/keepalived --config-test --use-file={CANDIDATE} 2>&1); ended=$?; "
        f'[ "$ended" = 0 ] || {{ [ "$ended" = {ENDED_ITSELF} ] && [ -z "$said" ]; }} || '
        "{ printf '%s\\n' \"$said\" >&2; exit 1; } )"
    )
    yield from commands


@converging
def running(reading: HostReading, *, digest: str, configuration: str) -> Iterator[Command]:
    """The unit enabled and active, of the unit on disk and with this configuration in force.

    A configuration is loaded while the address stays; another unit takes a restart.
    """
    yield from running_with(
        reading,
        Loading(
            VIRTUAL_ADDRESS_SERVICE,
            started=VIRTUAL_ADDRESS_STARTED,
            digest=digest,
            loaded=VIRTUAL_ADDRESS_LOADED,
            in_force=hashlib.sha256(configuration.encode()).hexdigest(),
        ),
    )


@converging
def given_up(reading: HostReading) -> Iterator[Command]:
    """No address that is shared, and no files of it. The package stays."""
    files = (VIRTUAL_ADDRESS_UNIT, VIRTUAL_ADDRESS_CONFIGURATION)
    active = reading.unit(VIRTUAL_ADDRESS_SERVICE, "ActiveState") not in ("", "inactive", "failed")
    if not active and not any(path in reading.files for path in files):
        host.noop("no address is shared")
        return
    differs("an address is shared here; expected none")
    yield within(
        UNIT,
        f"{{ systemctl disable --now --quiet {VIRTUAL_ADDRESS_SERVICE} || true; }} && "
        f"rm -rf {VIRTUAL_ADDRESS_FOLDER} && rm -f {VIRTUAL_ADDRESS_UNIT} && "
        "systemctl daemon-reload && "
        f"{{ systemctl reset-failed {VIRTUAL_ADDRESS_SERVICE} 2>/dev/null || true; }}",
    )
