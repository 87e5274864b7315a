"""Have a unit run that notes what it was started with, and loads files anew without a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from pyinfra import host

from fortyninety.deadlines import UNIT
from fortyninety.operations.converge import Command, within
from fortyninety.operations.reasons import differs
from fortyninety.operations.units import unit_commands
from fortyninety.survey.reading import HostReading


@dataclass(frozen=True)
class Loading:
    """A unit, what it is to be started with, and what is to be in force.

    The running one has `digest` in the file `started`, and in `loaded` the SHA-256 `in_force` as
    sha256sum prints it of what it reads.
    """

    service: str
    started: str
    digest: str
    loaded: str
    in_force: str


def running_with(reading: HostReading, its: Loading) -> Iterator[Command]:
    """The unit enabled and active, of the unit on disk and with these files in force.

    Files are loaded while it goes on; another unit takes a restart.
    """
    current = _noted(reading, its.started, f"{its.digest}\n")
    active = reading.unit(its.service, "ActiveState") in ("active", "reloading")
    if not current and active:
        differs(f"{its.service} runs another unit; expected {its.digest}")
    commands = unit_commands(reading, its.service, current=current)
    yield from commands
    # What is started loads it.
    loaded = not (active and current) or _noted(reading, its.loaded, f"{its.in_force}  -\n")
    if not loaded:
        differs(f"{its.service} has not loaded what is on disk")
        yield within(UNIT, f"systemctl reload {its.service}")
    elif not commands:
        host.noop(f"{its.service} is active, with what is on disk")


def _noted(reading: HostReading, path: str, text: str) -> bool:
    now = reading.files.get(path)
    return now is not None and now.sha256 == hashlib.sha256(text.encode()).hexdigest()
