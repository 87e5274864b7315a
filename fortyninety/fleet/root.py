"""Find the hosts on which commands do not run as root.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from pyinfra.api.host import Host

from fortyninety.connection.account import ask_account, root_fault
from fortyninety.connection.bounded import HostLost
from fortyninety.connection.diagnosis import Diagnosis
from fortyninety.fleet.inventory import ConnectedHosts, way_of
from fortyninety.problem import Problem


def without_root(connected: ConnectedHosts) -> list[Problem]:
    """A problem for each host on which a command could not read or change everything."""
    pool = connected.state.fact_pool
    waiting = {host: pool.spawn(_root_problem, host) for host in connected.settings}
    return [problem for each in waiting.values() if (problem := each.get()) is not None]


def leave_without_root(connected: ConnectedHosts) -> list[Problem]:
    """Make a problem of each such host, which is then none of those that are asked; return them."""
    found = without_root(connected)
    connected.problems += found
    named = {problem.host for problem in found}
    for host in list(connected.settings):
        if host.name in named:
            del connected.settings[host]
    return found


def _root_problem(host: Host) -> Problem | None:
    way = way_of(host)
    try:
        account = ask_account(host, way)
        fault = account if isinstance(account, Diagnosis) else root_fault(host, way, account)
    except HostLost as lost:
        return Problem(
            host=host.name, subject="connection", found=f"lost: {lost}", expected="an answer"
        )
    return None if fault is None else fault.problem(host.name)
