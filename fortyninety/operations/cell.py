"""Load a cell's firewall now and at every boot."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading


@converging
def firewalled(reading: HostReading, unit_name: str, *, digest: str) -> Iterator[Command]:
    """`unit_name` enabled, and the table in the kernel made from the rules of `digest`.

    A table that somebody flushed is loaded again. The engine goes on meanwhile.
    """
    enabled = reading.unit(unit_name, "UnitFileState") == "enabled"
    current = reading.unit(unit_name, "NeedDaemonReload") == "no"
    active = reading.unit(unit_name, "ActiveState") == "active"
    if enabled and current and active and reading.network.cell_firewall == digest:
        host.noop(f"the rules {digest} are loaded")
        return
    if reading.network.cell_firewall != digest:
        found = reading.network.cell_firewall or "none"
        differs(f"the rules in the kernel are {found}; expected {digest}")
    else:
        differs(f"{unit_name} is not enabled, active and as on disk")
    quoted = shlex.quote(unit_name)
    # Never a restart: what needs the unit would be restarted with it.
    yield (
        f"systemctl daemon-reload && systemctl enable --quiet {quoted} && "
        f"systemctl reload-or-restart {quoted}"
    )
