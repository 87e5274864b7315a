"""The latest reading of each host, shared by the operations of a run.

A converged host is read once for a whole run. Whatever an operation executes makes the reading
stale, and so does time, because others change hosts too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host

from fortyninety.deadlines import SURVEY
from fortyninety.facts.survey import HostState, Survey, SurveyRequest

# Seconds for which an unchanged host's reading is believed.
MAXIMUM_AGE = 60.0


@dataclass
class _Reading:
    request: SurveyRequest
    state: HostState
    read_at: float | None


_readings: WeakKeyDictionary[Host, _Reading] = WeakKeyDictionary()


def read_state(host: Host, request: SurveyRequest) -> HostState:
    """Read `host` now and remember it, together with what to look at the next time."""
    state: HostState = get_fact(
        host.state,
        host,
        Survey,
        kwargs={"request": request, "_timeout": SURVEY},
        apply_failed_hosts=False,
    )
    _readings[host] = _Reading(request, state, time.monotonic())
    return state


def current_state(host: Host) -> HostState:
    """The remembered reading of `host`, or a new one where it is stale.

    Raises KeyError for a host that `read_state` never read.
    """
    reading = _readings[host]
    if reading.read_at is None or time.monotonic() - reading.read_at > MAXIMUM_AGE:
        return read_state(host, reading.request)
    return reading.state


def remembered_state(host: Host) -> HostState | None:
    """The latest reading of `host`, stale or not; None where it was never read."""
    reading = _readings.get(host)
    return None if reading is None else reading.state


def forget_state(host: Host) -> None:
    """Make the next `current_state` of `host` read it again."""
    _readings[host].read_at = None
