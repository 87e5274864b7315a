"""Find what a deploy would change now, with the deploy's own operations and without a change.

Import it when a command runs, not before: pyinfra_cli patches the standard library.

In this process and not by `pyinfra --dry --json` in another: a host that does not answer shows
there in an exit code alone, a host that is refused stops the look at all the others, and why an
operation would change something is not in what it prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# First of all: only as its command line does pyinfra give an operation the place of its line.
import pyinfra_cli.main  # noqa: F401
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from pyinfra_cli.exceptions import CliError

from fortyninety.fleet.deploy_file import load_deploy
from fortyninety.fleet.inventory import ConnectedHosts, connect_hosts
from fortyninety.fleet.planning import plan_hosts
from fortyninety.fleet.prepared import cut_short, narrow, stage_and_name
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.root import without_root
from fortyninety.fleet.run import keep_plans
from fortyninety.operations.reasons import reasons_of
from fortyninety.problem import Problem


@dataclass(frozen=True)
class Change:
    """An operation that a deploy would carry out, and why: sentences of found and expected.

    `failure` is why the deploy would fail there instead, if it would.
    """

    stage: str
    operation: str
    differences: tuple[str, ...] = ()
    failure: str | None = None


@dataclass
class HostDrift:
    """What a deploy would change on a host, and what it alone would find out."""

    name: str
    changes: list[Change] = field(default_factory=list)
    not_looked_at: list[str] = field(default_factory=list)


@dataclass
class Drift:
    """The hosts that were looked at, and why others could not be."""

    hosts: list[HostDrift]
    problems: list[Problem]

    @property
    def exit_code(self) -> int:
        """2 where a host could not be looked at, 3 where a deploy would change one, or 0."""
        if self.problems:
            return 2
        return 3 if any(host.changes for host in self.hosts) else 0


def look(inventory: str, limit: Iterable[str]) -> Drift:
    """Compare the hosts of an inventory with what a deploy from this folder would make of them.

    A host that cannot be looked at is a problem of its own, and the others are looked at. Raises
    InventoryUnusable.
    """
    with errors_alone():
        connected = connect_hosts(inventory, limit)
        try:
            return _look(connected)
        finally:
            connected.disconnect()


def _look(connected: ConnectedHosts) -> Drift:
    state, problems = connected.state, list(connected.problems)
    with ctx_state.use(state), ctx_inventory.use(state.inventory), ctx_config.use(state.config):
        problems += without_root(connected)
        named = {problem.host for problem in problems}
        left = [host for host in connected.settings if host.name not in named]
        left, refused = _planned(state, left)
        problems += refused
        if left:
            narrow(state, left)
            try:
                load_deploy(state)
            except (PyinfraError, CliError) as error:
                lost = [host for host in left if host in state.failed_hosts]
                problems += [cut_short(host, f"by {error}") for host in lost or left]
            else:
                problems += [
                    cut_short(host, "by a question it did not answer")
                    for host in left
                    if host in state.failed_hosts
                ]
        failed = {problem.host for problem in problems}
        found = [drift_of(state, host) for host in left if host.name not in failed]
    order = {host.name: index for index, host in enumerate(state.inventory)}
    return Drift(found, sorted(problems, key=lambda problem: order.get(problem.host, 0)))


def _planned(state: State, hosts: list[Host]) -> tuple[list[Host], list[Problem]]:
    """The hosts that have a plan, and the problems of the others.

    A deploy refuses all for one of them; here those without a problem are gone on with.
    """
    problems: list[Problem] = []
    left = hosts
    while left:
        narrow(state, left)
        planned = plan_hosts(state)
        if not planned.problems:
            keep_plans(state, planned.plans)
            break
        problems += planned.problems
        named = {problem.host for problem in planned.problems}
        # A reason that lies with a host outside of the limit is everybody's.
        left = [host for host in left if host.name not in named] if named & _names(left) else []
    return left, problems


def _names(hosts: Iterable[Host]) -> set[str]:
    return {host.name for host in hosts}


def drift_of(state: State, host: Host) -> HostDrift:
    """What the operations that were prepared for a host would change on it."""
    found = HostDrift(host.name)
    for operation_hash in host.op_hash_order:
        operation = state.ops[host][operation_hash]
        if not operation.operation_meta.will_change:
            continue
        stage, name = stage_and_name(state, operation_hash)
        reasons = reasons_of(host, operation_hash)
        if reasons.only_asks is not None:
            found.not_looked_at.append(reasons.only_asks)
        elif reasons.failure is not None and found.changes:
            # As the host is now; what comes before it in a deploy may put it right.
            found.not_looked_at.append(f"{stage} | {name}: as it is now, {reasons.failure}")
        else:
            found.changes.append(Change(stage, name, tuple(reasons.differences), reasons.failure))
    return found
