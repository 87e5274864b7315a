"""Running a pyinfra deploy of this project's own over an inventory, and reading what came of it.

pyinfra runs in a process of its own: importing its command line changes the standard library under
everybody's feet (gevent). What a host reports is a line of JSON on standard output.
"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


class FleetError(Exception):
    """Why the hosts of an inventory cannot be looked at, in one line."""


@dataclass(frozen=True)
class FleetHost:
    """A host of an inventory: its name, its groups, and its data as pyinfra merged them."""

    name: str
    groups: tuple[str, ...]
    data: dict[str, Any]


@dataclass(frozen=True)
class FleetRun:
    """What came of a run: each host's report by its name, the exit code, what pyinfra logged."""

    reports: dict[str, dict[str, Any]]
    exit_code: int
    log: str


def inventory_hosts(inventory: str, limit: Sequence[str] = ()) -> list[FleetHost]:
    """The hosts of a pyinfra inventory file, in its order, that a `limit` names (all without one).

    A limit is a host's name, a pattern, or a group. Raises FleetError where the file cannot be
    read, and where a limit matches nothing: pyinfra itself would call that a success.
    """
    if not Path(inventory).is_file():
        raise FleetError(f"there is no inventory file {inventory}")
    shown = _pyinfra([inventory, "debug-inventory", "--json"])
    if shown.returncode != 0 or not shown.stdout.strip():
        raise FleetError(f"pyinfra cannot read {inventory}: {shown.stderr.strip()}")
    hosts = [
        FleetHost(each["name"], tuple(each["groups"]), each["data"])
        for each in json.loads(shown.stdout)
    ]
    for pattern in limit:
        if not any(_matches(host, pattern) for host in hosts):
            raise FleetError(
                f"no host of {inventory} matches {pattern}; "
                f"it has {', '.join(host.name for host in hosts)}"
            )
    return [
        host for host in hosts if not limit or any(_matches(host, pattern) for pattern in limit)
    ]


def run_on_fleet(
    inventory: str, deploy: Path, *, limit: Sequence[str] = (), data: dict[str, str] | None = None
) -> FleetRun:
    """Run the deploy file over the inventory's hosts; what each of them reported with `report`."""
    words = [word for pattern in limit for word in ("--limit", pattern)]
    words += [word for key, value in (data or {}).items() for word in ("--data", f"{key}={value}")]
    ran = _pyinfra(["-y", *words, inventory, str(deploy)])
    reports = {}
    for line in ran.stdout.splitlines():
        if line.startswith("{"):
            reported = json.loads(line)
            reports[reported.pop("host")] = reported
    return FleetRun(reports, ran.returncode, ran.stderr)


def report(host: str, values: dict[str, Any]) -> None:
    """Report `values` of a host from within a deploy file, to whoever called `run_on_fleet`."""
    print(json.dumps({"host": host, **values}), flush=True)


def _matches(host: FleetHost, pattern: str) -> bool:
    return pattern in host.groups or fnmatch.fnmatch(host.name, pattern)


def _pyinfra(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pyinfra", *words],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
