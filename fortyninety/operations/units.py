"""Have units run, start at boot, and run what is on disk."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.deadlines import UNIT
from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import differs
from fortyninety.operations.restoring import Restoring, guarded
from fortyninety.survey.reading import HostReading


@converging
def unit(
    reading: HostReading,
    unit_name: str,
    *,
    configuration: str | None = None,
    restoring: Restoring | None = None,
) -> Iterator[Command]:
    """A unit that is enabled, active, and of the unit file on disk. It must be surveyed.

    `configuration` is what root must have noted of its last start: a run that died between a change
    and its restart is put right by the next one. `restoring` is for a start that fails.
    """
    current = configuration is None or reading.service.configuration == configuration
    if not current and reading.unit(unit_name, "ActiveState") == "active":
        found = reading.service.configuration or "that nobody noted"
        differs(f"{unit_name} runs configuration {found}; expected {configuration}")
    commands = unit_commands(reading, unit_name, current=current, restoring=restoring)
    if not commands:
        host.noop(f"{unit_name} is enabled and active")
    yield from commands


def unit_commands(
    reading: HostReading, unit_name: str, *, current: bool, restoring: Restoring | None = None
) -> list[Command]:
    """What makes a unit enabled and active; empty where it is so.

    `current` is False where the unit must be run again although it is active, because its process
    or its effect is not the wanted one.
    """
    enabled = reading.unit(unit_name, "UnitFileState") == "enabled"
    quoted = shlex.quote(unit_name)
    commands: list[Command] = []
    differs(*_unit_differences(reading, unit_name))
    if reading.unit(unit_name, "UnitFileState") in ("masked", "masked-runtime"):
        commands.append(
            f"systemctl unmask --quiet {quoted} && systemctl unmask --quiet --runtime {quoted}"
        )
    if not enabled:
        commands.append(f"systemctl daemon-reload && systemctl enable --quiet {quoted}")
    if would_start(reading, unit_name, current=current):
        restart = (
            f"systemctl daemon-reload && {{ systemctl reset-failed {quoted} 2>/dev/null; "
            # What the unit itself says of its failure, and not only where to look.
            f"systemctl restart {quoted} || "
            f"{{ journalctl --unit={quoted} --lines=10 --output=cat >&2; exit 1; }}; }}"
        )
        commands.append(guarded(restoring, UNIT, restart))
    return commands


def would_start(reading: HostReading, unit_name: str, *, current: bool) -> bool:
    """Whether a unit is started, or run again."""
    reload_needed = reading.unit(unit_name, "NeedDaemonReload") != "no"
    return reading.unit(unit_name, "ActiveState") != "active" or not current or reload_needed


def _unit_differences(reading: HostReading, unit_name: str) -> Iterator[str]:
    enabled = reading.unit(unit_name, "UnitFileState") or "missing"
    active = reading.unit(unit_name, "ActiveState") or "unknown"
    if enabled != "enabled":
        yield f"{unit_name} is {enabled}; expected enabled"
    if active != "active":
        yield f"{unit_name} is {active}; expected active"
    if reading.unit(unit_name, "NeedDaemonReload") == "yes":
        yield f"{unit_name} changed on disk since systemd read it"
