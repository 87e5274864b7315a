"""Deploy to the hosts of an inventory as `pyinfra INVENTORY deploy.py` does, from any folder.

Import it when a command runs, not before: pyinfra_cli patches the standard library.

In this process and by pyinfra's own steps. Its command line asks about each host that fails, tells
a deploy that somebody declined from one that was done by nothing but its text, and has one exit
code for everything.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field

import click
import pyinfra

# First of all: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.operations import run_ops
from pyinfra.api.output import set_echo, set_formatter
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from pyinfra_cli.exceptions import CliError
from pyinfra_cli.log import setup_logging
from pyinfra_cli.prints import print_meta, print_results

from fortyninety.fleet.deploy_file import OWN, load_deploy
from fortyninety.fleet.ended import ended
from fortyninety.fleet.inventory import ChosenHosts, ConnectedHosts, connect
from fortyninety.fleet.planning import plan_hosts
from fortyninety.fleet.run import keep_plans
from fortyninety.plan.plan import Plan
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

# It has both causes where an engine failed and the one before did too.
LONGEST_REASON = 1000


@dataclass(frozen=True)
class HostEnd:
    """What a deploy did on a host: how many operations changed it, and why it failed there."""

    host: Host
    plan: Plan
    changes: int
    failure: Problem | None


@dataclass
class Deployment:
    """A deploy that is ready to be carried out, or the problems for which it is refused."""

    connected: ConnectedHosts
    plans: dict[Host, Plan] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    # Whether a host has no answer or no settings, so that not everything is known about the run.
    unanswered: bool = False

    def show_changes(self) -> None:
        """Print, as pyinfra does, which operations would change how many hosts."""
        logger.info("--> Detected changes:")
        print_meta(self.connected.state)

    def carry_out(self) -> list[HostEnd]:
        """Run every operation on every host. A host that fails does so alone."""
        state = self.connected.state
        logger.info("--> Beginning operation run...")
        state.set_stage(StateStage.Execute)
        try:
            # What functions of one's own deploy file print is no answer of the command.
            with redirect_stdout(sys.stderr):
                run_ops(state)
        except PyinfraError as error:
            # No host is left; why each failed is known of it.
            if not state.failed_hosts:
                raise
            logger.warning(f"--> {error}")
        else:
            logger.info("--> Results:")
            print_results(state)
        state.set_stage(StateStage.Disconnect)
        return [_end_of(state, host, plan) for host, plan in self.plans.items()]


@contextmanager
def prepared(
    chosen: ChosenHosts, *, detect_changes: bool, file: str = OWN, talks: bool = True
) -> Iterator[Deployment]:
    """Connect to the hosts, plan them and load the deploy of `file`; disconnect at the end.

    Without `talks` pyinfra says nothing of a run on its way.
    Without `detect_changes` an operation is first looked at when it is carried out. Raises
    InventoryUnusable where one's own deploy file cannot be run.
    """
    _as_its_command_line(talks=talks)
    connected = connect(chosen, explain=False)
    state = connected.state
    state.check_for_changes = detect_changes
    with ctx_state.use(state), ctx_inventory.use(state.inventory), ctx_config.use(state.config):
        try:
            planned = plan_hosts(state)
            if planned.problems:
                unanswered = len(connected.settings) < len(chosen.hosts)
                yield Deployment(connected, problems=planned.problems, unanswered=unanswered)
                return
            keep_plans(state, planned.plans)
            lost = _load(state, file)
            yield Deployment(connected, planned.plans, lost, unanswered=bool(lost))
        finally:
            connected.disconnect()


def _as_its_command_line(*, talks: bool) -> None:
    """Make pyinfra order operations by their lines, and talk, as under its own command line."""
    pyinfra.is_cli = True
    set_formatter(click.style)
    set_echo(click.echo)
    if talks and not logger.handlers:
        setup_logging(logging.INFO)


def _load(state: State, file: str) -> tuple[Problem, ...]:
    """Have every host read the deploy file; a problem for each host that was lost meanwhile."""
    try:
        load_deploy(state, file)
    except (PyinfraError, CliError) as error:
        if not state.failed_hosts:
            raise
        return _lost(state, str(error))
    return _lost(state, "a question it did not answer")


def _lost(state: State, why: str) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            host=host.name,
            subject="connection",
            found=f"lost ({printable(why, LONGEST_REASON)})",
            expected="an answer to every question",
            remedy="Try again",
        )
        for host in state.inventory
        if host in state.failed_hosts
    )


def _end_of(state: State, host: Host, plan: Plan) -> HostEnd:
    """How the deploy ended on a host, by the operations that were carried out there."""
    end = ended(state, host)
    if end.failed is None:
        return HostEnd(host, plan, len(end.changed), None)
    failure = Problem(
        host=host.name,
        subject=end.failed,
        found=f"not done ({printable(end.said, LONGEST_REASON)})",
        expected="done",
        remedy="Correct what it names and run the same command: what is done is not done again",
    )
    return HostEnd(host, plan, len(end.changed), failure)
