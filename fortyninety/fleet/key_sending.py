"""Put the keys of an inventory in force on every host that lets people in by them, at once.

Import it when a command runs, not before: pyinfra_cli patches the standard library.

Without the lease: a revocation does not wait for a deploy. The program on the host has a lock of
its own, and refuses keys that are older than those it has.
"""

from __future__ import annotations

import shlex
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

# First of all: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
from pyinfra.api.host import Host
from pyinfra.context import ctx_config, ctx_inventory, ctx_state

from fortyninety.connection.shell import HostLost, attempt
from fortyninety.facts.history import Change, noting
from fortyninety.fleet.history import project
from fortyninety.fleet.inventory import ChosenHosts, choose_hosts, connect
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.root import leave_without_root
from fortyninety.gateway.key_file import key_file_of, read_key_map
from fortyninety.lease import whoever_runs_this
from fortyninety.plan.gateway import asks_by_key
from fortyninety.plan.instance import FRONT, GATEWAY
from fortyninety.plan.paths import plan_paths
from fortyninety.plan.tenants import tenant_problems
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.text.printable import printable

# Seconds for a host to have put the keys in force.
TIMEOUT = 60
NO_GATEWAY = "no gateway yet"
REMEDY = "It has the keys from before: `fortyninety deploy` brings these once it can be reached"


@dataclass(frozen=True)
class Sent:
    """What a host made of the keys: "in force", "written" where none runs, or NO_GATEWAY."""

    host: str
    how: str


def send_keys(inventory: str) -> tuple[list[Sent], list[Problem]]:
    """Send the keys of an inventory to its gateways; a problem for each that did not take them.

    No host is connected to where none has a gateway. Raises InventoryUnusable, KeyFileUnusable.
    """
    with errors_alone():
        chosen = _with_gateways(choose_hosts(inventory, ()))
        if not chosen.settings:
            return [], chosen.problems
        text = read_key_map(key_file_of(Path(inventory)))
        connected = connect(chosen)
        try:
            state = connected.state
            with (
                ctx_state.use(state),
                ctx_inventory.use(state.inventory),
                ctx_config.use(state.config),
            ):
                leave_without_root(connected)
                pool = state.fact_pool
                waiting = [
                    pool.spawn(_send, host, settings, text)
                    for host, settings in connected.settings.items()
                ]
                answers = [greenlet.get() for greenlet in waiting]
        finally:
            connected.disconnect()
    sent = [each for each in answers if isinstance(each, Sent)]
    problems = [each for each in answers if isinstance(each, Problem)]
    reached = [replace(each, remedy=each.remedy or REMEDY) for each in connected.problems]
    return sent, [*reached, *problems]


def not_kept_apart(inventory: str, tenants: Set[str]) -> list[Problem]:
    """Why gateways of the inventory cannot let these tenants in together. Connects to nothing.

    Raises InventoryUnusable.
    """
    with errors_alone():
        chosen = choose_hosts(inventory, ())
    fronts = {each.model_name for each in chosen.settings.values() if each.is_front}
    return [
        problem
        for host, each in chosen.settings.items()
        if each.has_engine
        for problem in tenant_problems(
            host.name,
            each,
            load_release(each.engine),
            tenants,
            fronted=each.model_name in fronts,
        )
    ]


def _with_gateways(chosen: ChosenHosts) -> ChosenHosts:
    """Those of the hosts that let people in; what is wrong with the settings of others stays."""
    theirs = {
        host: each for host, each in chosen.settings.items() if each.is_front or asks_by_key(each)
    }
    return replace(chosen, hosts=list(theirs), settings=theirs)


def _send(host: Host, settings: Settings, text: str) -> Sent | Problem:
    control = plan_paths(settings, load_release(settings.engine)).gateway_control
    its = FRONT if settings.is_front else GATEWAY
    command = shlex.join((control, "keys", its.keys, its.control_socket, its.note))
    there = f"[ -x {shlex.quote(control)} ] && [ -e {its.keys} ]"
    change = Change("key", whoever_runs_this(), project(), "done", stages=("Gateway",), count=1)
    # In the same round trip, and only where the keys are others than before.
    noted = noting(command, its.keys, change)
    try:
        succeeded, output = attempt(
            host,
            f"if {there}; then {noted}; else echo {shlex.quote(NO_GATEWAY)}; fi",
            timeout=TIMEOUT,
            _stdin=text,
        )
    except HostLost as lost:
        return _not_taken(host, f"lost: {lost}")
    said = output.stdout.strip()
    if succeeded and said in ("in force", "written", NO_GATEWAY):
        return Sent(host.name, said)
    return _not_taken(host, printable(output.stderr.strip() or said or "no answer", 300))


def _not_taken(host: Host, why: str) -> Problem:
    return Problem(
        host=host.name,
        subject="its keys",
        found=f"not those that were given now ({why})",
        expected="these in force",
        remedy=REMEDY,
    )
