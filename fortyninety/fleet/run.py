"""Keep the plans of all hosts of one pyinfra run."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from gevent.event import AsyncResult
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from fortyninety.fleet.history import watch
from fortyninety.fleet.planning import plan_hosts
from fortyninety.fleet.refusal import Refused
from fortyninety.once import made_once
from fortyninety.plan.plan import Plan

_runs: WeakKeyDictionary[State, AsyncResult] = WeakKeyDictionary()


def current_plan() -> Plan:
    """The plan of the host that pyinfra is loading the deploy for.

    The first caller reads every host of the run and checks them all; the others wait for it.
    Raises Refused, for every host alike, where any host of the run has a problem.
    """
    # Themselves, not pyinfra's stand-ins for whichever are at work.
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    return made_once(_runs, state, lambda: _plans_or_refuse(state))[host]


def _plans_or_refuse(state: State) -> dict[Host, Plan]:
    planned = plan_hosts(state)
    if planned.problems:
        raise Refused(planned.problems)
    watch(planned.plans)
    return planned.plans


def keep_plans(state: State, plans: dict[Host, Plan]) -> None:
    """Make these what `current_plan` has for the run, which are not planned anew."""
    made_once(_runs, state, lambda: plans)
    watch(plans)


def plans_of(state: State) -> dict[Host, Plan]:
    """The plans of all hosts of a run, once `current_plan` made them."""
    plans: dict[Host, Plan] = _runs[state].get()
    return plans
