"""Units that run, start at boot, and run what is on disk."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging


@converging
def unit(
    state: HostState, unit_name: str, *, configuration: str | None = None, current: bool = True
) -> Iterator[Command]:
    """A unit that is enabled, active, and of the unit file on disk. It must be surveyed.

    `configuration` is what the running process must carry as FORTYNINETY_CONFIGURATION: a run that
    died between a change and its restart is put right by the next one. `current` is False where
    the caller sees from elsewhere that the unit's effect is gone and it must run again.
    """
    reload_needed = state.unit(unit_name, "NeedDaemonReload") != "no"
    enabled = state.unit(unit_name, "UnitFileState") == "enabled"
    active = state.unit(unit_name, "ActiveState") == "active"
    stale = configuration is not None and state.running_configuration != configuration
    if enabled and active and current and not reload_needed and not stale:
        host.noop(f"{unit_name} is enabled and active")
        return
    quoted = shlex.quote(unit_name)
    # systemd may not know yet of a unit file that was just written: reload whatever it says.
    yield "systemctl daemon-reload"
    if not enabled:
        yield f"systemctl enable --quiet {quoted}"
    if not active or not current or reload_needed or stale:
        yield f"systemctl reset-failed {quoted} 2>/dev/null; systemctl restart {quoted}"
