"""Narrow a pyinfra run to some of its hosts, and name what was prepared for them."""

from __future__ import annotations

from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.problem import Problem


def narrow(state: State, hosts: list[Host]) -> None:
    """Make the run one of these hosts."""
    state.limit_hosts = hosts
    state.active_hosts = set(hosts)


def stage_and_name(state: State, operation_hash: str) -> tuple[str, str]:
    """The stage and the name of a prepared operation."""
    # Named alike on every host, but for what the host's own settings put into the name.
    stage, _, name = sorted(state.get_op_meta(operation_hash).names)[0].partition(" | ")
    return stage, name


def cut_short(host: Host, how: str) -> Problem:
    """The problem of a host that could not be looked at to the end: "by ..." or "(...)"."""
    return Problem(
        host=host.name,
        subject="look",
        found=f"cut short {how}",
        expected="an answer to every question",
        remedy="Try again",
    )
