"""Have a box end what it has under way before its engine restarts, and serve again after it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from pyinfra import host, logger, state
from pyinfra.api.command import StringCommand

from fortyninety.deadlines import UNIT
from fortyninety.lease import whoever_runs_this
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.reasons import differs
from fortyninety.operations.units import would_start
from fortyninety.plan.draining import Draining, in_words
from fortyninety.plan.paths import GATEWAY_SERVICE
from fortyninety.survey.reading import HostReading

# Seconds by which the clocks of two machines may differ, and a timer be late.
SLACK = 60


@converging
def before_restart(
    reading: HostReading, unit_name: str, draining: Draining, *, configuration: str
) -> Iterator[Command]:
    """Nothing new for the box, and what is under way waited for, where the unit is to restart.

    One that somebody else drained stays as it is, and is waited for too.
    """
    current = reading.service.configuration == configuration
    if not (serves(reading, unit_name) and would_start(reading, unit_name, current=current)):
        host.noop(f"{unit_name} is not restarted, or nobody is let in")
        return
    differs(f"{unit_name} restarts: what is under way is waited for, {draining.wait} s at most")
    yield drained_first(draining)


@converging
def serving_again(reading: HostReading, draining: Draining) -> Iterator[Command]:
    """A box that takes requests, where a deploy drained it: this one, or one that was cut.

    One that somebody else drained stays so until its moment.
    """
    drained = reading.gateway.drained
    if drained is None:
        host.noop("the box takes requests")
    elif drained.until + SLACK < time.time():
        differs(f"the box is {in_words(drained)}, which has passed; expected no longer")
        yield within(UNIT, draining.expire())
    elif drained.is_of_a_deploy:
        differs(f"the box is {in_words(drained)}; expected no longer")
        yield within(UNIT, draining.after_a_restart())
    else:
        host.noop(f"stays {in_words(drained)}")
        if state.is_executing:
            logger.warning(f"{host.print_prefix}Stays {in_words(drained)}")


def serves(reading: HostReading, unit_name: str) -> bool:
    """Whether the unit runs behind a gateway that runs."""
    return all(
        reading.unit(name, "ActiveState") in ("active", "reloading")
        for name in (unit_name, GATEWAY_SERVICE)
    )


def drained_first(draining: Draining) -> StringCommand:
    """The command that drains the box for a deploy and waits."""
    return within(UNIT + draining.wait, draining.before_a_restart(whoever_runs_this()))
