"""Remove rules of this project's from a host: what loads them at boot, and their table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pyinfra import host

from fortyninety.deadlines import UNIT
from fortyninety.firewall import trial
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading


@dataclass(frozen=True)
class Table:
    """A table in the kernel: `digest` reads it, `remove` is a script that leaves nothing of it."""

    what: str
    digest: Callable[[HostReading], str | None]
    remove: str


OF_THE_HOST = Table(
    "a firewall of this project's", lambda reading: reading.firewall.digest, trial.REMOVE
)
OF_A_CELL = Table(
    "a cell's firewall",
    lambda reading: reading.network.cell_firewall,
    "! nft list table inet fortyninety_cell >/dev/null 2>&1 || "
    "nft delete table inet fortyninety_cell",
)


@converging
def removed(
    reading: HostReading, table: Table, unit_name: str, files: Sequence[str]
) -> Iterator[Command]:
    """No such table. `files` are those of the unit that loads it, and of its rules."""
    there = [path for path in files if path in reading.files]
    if not there and table.digest(reading) is None:
        host.noop(f"{table.what} is not here")
        return
    differs(f"{table.what} is here; expected none")
    yield within(
        UNIT,
        f"{{ systemctl disable --now --quiet {shlex.quote(unit_name)} 2>/dev/null || true; }} && "
        f"rm -f -- {shlex.join(files)} && systemctl daemon-reload || exit 1\n{table.remove}",
    )
