"""Look at what a reset would take from hosts, and take it.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import click
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, State, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from fortyninety.connection.lease import take
from fortyninety.facts.history import Change, Served
from fortyninety.fleet.ended import ended
from fortyninety.fleet.history import note, project, served_by
from fortyninety.fleet.inventory import ConnectedHosts
from fortyninety.fleet.planning import on_each
from fortyninety.fleet.prepared import cut_short, narrow, stage_and_name
from fortyninety.lease import whoever_runs_this
from fortyninety.operations.reasons import reasons_of
from fortyninety.operations.reset import read_remains
from fortyninety.plan.preflight import lease_problems
from fortyninety.plan.reset import ResetPlan, left
from fortyninety.problem import Problem
from fortyninety.survey.latest import current_reading, take_reading
from fortyninety.survey.reading import HostReading
from fortyninety.text.printable import printable

Deploy = Callable[[ResetPlan], object]


@dataclass(frozen=True)
class Step:
    """One thing that a reset takes away: what it is called, and what there is of it."""

    name: str
    found: tuple[str, ...] = ()


@dataclass
class HostReset:
    """What a reset takes from a host and what it leaves there; `error` is why it did not end."""

    host: str
    removes: list[Step] = field(default_factory=list)
    leaves: list[str] = field(default_factory=list)
    done: bool = False
    error: str | None = None


@dataclass
class Reset:
    """A reset of some hosts, looked at and not begun; nothing is done where there are problems."""

    state: State
    hosts: dict[Host, HostReset] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def carry_out(self, begun: Callable[[str], None]) -> None:
        """Take it from the hosts that have any of it; `begun` is told each step's name."""
        hosts = [host for host, reset in self.hosts.items() if reset.removes]
        for host, reset in self.hosts.items():
            reset.done = host not in hosts
        if not hosts:
            return
        state = self.state
        with _at_work(state), _heard() as said:
            narrow(state, hosts)
            state.add_callback_handler(_Steps(begun))  # type: ignore[no-untyped-call]
            state.set_stage(StateStage.Execute)
            leases = take(state, "reset")
            before = {host: served_by(host) for host in hosts}
            try:
                # pyinfra gives up where no host is left; each says why below.
                with suppress(PyinfraError):
                    run_ops(state)
                for host in hosts:
                    failed = host in state.failed_hosts
                    self.hosts[host].done = not failed
                    if failed:
                        self.hosts[host].error = said.of(host.name)
                if not leases.refused:
                    on_each(state, hosts, lambda host: self._note(state, host, before[host]))
            finally:
                leases.give_back()

    def _note(self, state: State, host: Host, before: Served) -> None:
        end, error = ended(state, host), self.hosts[host].error
        note(
            host,
            Change(
                what="reset",
                who=whoever_runs_this(),
                project=project(),
                result="done" if error is None else "failed",
                why=error or "",
                stages=("Reset",),
                count=len(end.changed),
                before=before,
            ),
        )


def look(connected: ConnectedHosts, plans: dict[Host, ResetPlan], deploy: Deploy) -> Reset:
    """Find what a reset takes from connected hosts, by the operations of its own `deploy`."""
    state, reset = connected.state, Reset(connected.state)
    reset.problems = list(connected.problems)
    if reset.problems:
        return reset
    with _at_work(state), _heard() as said:
        narrow(state, list(plans))
        readings = on_each(state, plans, lambda host: take_reading(host, plans[host].request))
        reset.problems = [
            problem
            for host, reading in readings.items()
            for problem in _reading_problems(host, reading)
        ]
        if reset.problems:
            return reset
        state.set_stage(StateStage.Prepare)
        for host, plan in plans.items():
            with ctx_host.use(host):
                deploy(plan)
            reset.hosts[host] = _found(state, host)
        for host, plan in plans.items():
            reading = current_reading(host)
            remains = read_remains(host, reading, plan)
            if remains is None or host in state.failed_hosts:
                reset.problems.append(cut_short(host, f"({said.of(host.name)})"))
            else:
                reset.hosts[host].leaves = list(left(plan, reading, remains))
    return reset


def _reading_problems(host: Host, reading: HostReading) -> Iterator[Problem]:
    if not reading.readable:
        yield cut_short(host, f"({reading.unreadable or 'it did not answer'})")
        return
    yield from lease_problems(host.name, reading)


def _found(state: State, host: Host) -> HostReset:
    found = HostReset(host.name)
    for operation_hash in host.op_hash_order:
        if not state.ops[host][operation_hash].operation_meta.will_change:
            continue
        reasons = reasons_of(host, operation_hash)
        found.removes.append(
            Step(stage_and_name(state, operation_hash)[1], tuple(reasons.differences))
        )
    return found


@contextmanager
def _at_work(state: State) -> Iterator[None]:
    with ctx_state.use(state), ctx_inventory.use(state.inventory), ctx_config.use(state.config):
        yield


class _Steps(BaseStateCallback):
    """Tells the name of each operation that begins."""

    def __init__(self, begun: Callable[[str], None]) -> None:
        self._begun = begun

    def operation_start(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        """Tell it."""
        self._begun(stage_and_name(state, op_hash)[1])


class _Said(logging.Handler):
    """What pyinfra and the operations say of hosts that fail."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._lines.append(" ".join(click.unstyle(record.getMessage()).split()))

    def of(self, name: str) -> str:
        """The last that was said of a host."""
        own = [line.partition("] ")[2] for line in self._lines if line.startswith(f"[{name}]")]
        return printable("; ".join(own[-3:]) or "see the messages above", 2000)


@contextmanager
def _heard() -> Iterator[_Said]:
    """Keep what is said of hosts that fail, and print nothing of a run on its way."""
    said, before, propagated = _Said(), list(logger.handlers), logger.propagate
    logger.handlers, logger.propagate = [said], False
    try:
        yield said
    finally:
        logger.handlers, logger.propagate = before, propagated
