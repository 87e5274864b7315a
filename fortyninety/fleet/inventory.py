"""Connect to the hosts of a pyinfra inventory, for commands that are not a deploy.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gevent import get_hub
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli.inventory import make_inventory

from fortyninety.connection import quicker
from fortyninety.connection.bounded import bounded
from fortyninety.connection.diagnosis import Diagnosis, diagnose
from fortyninety.connection.host_keys import SETTING, STRICT
from fortyninety.connection.way import Way
from fortyninety.fleet.faults import inventory_fault
from fortyninety.fleet.inventory_path import keep_path
from fortyninety.fleet.limit import MatchesNothing, limited, without
from fortyninety.problem import Problem
from fortyninety.settings.group_data import group_data_paths
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings


class InventoryUnusable(Exception):
    """Why there are no hosts to look at, in one line."""


@dataclass
class ConnectedHosts:
    """The hosts that answer, with their settings, and what is wrong with the others.

    `diagnoses` has those that could not be connected to, which are among the `problems` too.
    """

    state: State
    settings: dict[Host, Settings] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    diagnoses: dict[Host, Diagnosis] = field(default_factory=dict)

    def disconnect(self) -> None:
        """Close every connection."""
        disconnect_all(self.state)


def connect_hosts(path: str, limit: Iterable[str]) -> ConnectedHosts:
    """Connect to the hosts of an inventory file, or to those that match a name or group of `limit`.

    Raises InventoryUnusable.
    """
    return connect(choose_hosts(path, limit))


@dataclass
class ChosenHosts:
    """The hosts of a run before anything is connected; those without settings are problems."""

    state: State
    hosts: list[Host]
    settings: dict[Host, Settings] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_inventory(path: str, data: Mapping[str, Any] | None = None) -> tuple[State, Inventory]:
    """The hosts of an inventory file, with their data, which `data` overrides.

    Raises InventoryUnusable where there is none.
    """
    if not Path(path).is_file():
        raise InventoryUnusable(f"there is no inventory file {path}")
    here = str(Path.cwd())
    if here not in sys.path:  # As pyinfra itself does: an inventory may import what lies beside.
        sys.path.append(here)
    quicker.install()
    state = State()
    try:
        # An inventory file is run in the context of a run, and settings come from group_data/. What
        # it prints is no answer of the command.
        with ctx_state.use(state), redirect_stdout(sys.stderr):
            inventory = make_inventory(
                path, override_data=data, group_data_directories=group_data_paths(path)
            )
    except (Exception, SystemExit) as error:
        # It is a program, and may raise anything.
        raise InventoryUnusable(inventory_fault(path, error)) from error
    keep_path(state, path)
    if not list(inventory):
        raise InventoryUnusable(f"{path} has no host")
    return state, inventory


def choose_hosts(
    path: str,
    limit: Iterable[str],
    *,
    exclude: Iterable[str] = (),
    data: Mapping[str, Any] | None = None,
) -> ChosenHosts:
    """The hosts of an inventory file that `limit` names, without those that `exclude` names.

    `data` overrides what the inventory says of each. Raises InventoryUnusable.
    """
    # What a greenlet raises is raised again where it is waited for: once is enough.
    get_hub().exception_stream = None
    state, inventory = read_inventory(path, data)
    everyone = list(inventory)
    try:
        chosen = without(everyone, limited(everyone, limit), exclude)
    except MatchesNothing as nothing:
        raise InventoryUnusable(f"{path}: {nothing}") from nothing
    if not chosen:
        raise InventoryUnusable(f"{path}: --exclude leaves no host")
    try:
        state.init(inventory, None, initial_limit=chosen)
    except PyinfraError as error:
        # How to reach a host is said in a way that pyinfra takes for no host.
        raise InventoryUnusable(f"{path}: {_wrong_data(everyone) or error}") from error
    found = ChosenHosts(state, chosen)
    for host in chosen:
        parsed = parse_settings(host.name, host.data.dict())  # type: ignore[no-untyped-call]
        if isinstance(parsed, list):
            found.problems += parsed
        else:
            found.settings[host] = parsed
    return found


def _wrong_data(hosts: Iterable[Host]) -> str:
    """What is wrong with the data of the hosts, in one line."""
    read = [parse_settings(host.name, host.data.dict()) for host in hosts]  # type: ignore[no-untyped-call]
    return "; ".join(str(each) for found in read if isinstance(found, list) for each in found)


def connect(chosen: ChosenHosts, *, explain: bool = True) -> ConnectedHosts:
    """Connect to the hosts that have settings.

    Why others could not be connected to takes seconds to find out: without `explain` they are only
    left out, for a plan of the run to say.
    """
    state = chosen.state
    connected = ConnectedHosts(state, dict(chosen.settings), list(chosen.problems))
    for host in state.inventory:
        if host.data.get(SETTING) is None:
            setattr(host.data, SETTING, STRICT)
        bounded(host)
    # A host without settings is not asked for anything, and keeps its place in the limit.
    state.limit_hosts = list(connected.settings)
    # pyinfra gives up where no host is left; each is a problem of its own below.
    with suppress(PyinfraError):
        connect_all(state)
    state.limit_hosts = chosen.hosts
    lost = [host for host in connected.settings if not host.connected]
    for host in lost:
        del connected.settings[host]
    for host, diagnosis in _diagnoses(state, lost if explain else ()).items():
        connected.diagnoses[host] = diagnosis
        connected.problems.append(diagnosis.problem(host.name))
    return connected


def way_of(host: Host) -> Way:
    """How SSH reaches a host of an inventory."""
    return Way.of(host.name, host.data.dict())  # type: ignore[no-untyped-call]


def _diagnoses(state: State, hosts: Iterable[Host]) -> dict[Host, Diagnosis]:
    """Why each of these hosts could not be connected to, found side by side."""
    waiting = {
        host: state.fact_pool.spawn(diagnose, way_of(host), bounded(host).failure) for host in hosts
    }
    return {host: greenlet.get() for host, greenlet in waiting.items()}
