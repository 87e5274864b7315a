"""Keep the latest reading of each host, shared by the operations of a run.

A converged host is read once for a whole run. Whatever an operation executes makes the reading
stale, and so does time, because others change hosts too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host

from fortyninety.deadlines import SURVEY
from fortyninety.survey.fact import Survey
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import SurveyRequest

# Seconds for which an unchanged host's reading is believed.
MAXIMUM_AGE = 60.0


@dataclass
class _Reading:
    request: SurveyRequest
    reading: HostReading
    read_at: float | None


_readings: WeakKeyDictionary[Host, _Reading] = WeakKeyDictionary()


def take_reading(host: Host, request: SurveyRequest) -> HostReading:
    """Read `host` now and remember it, together with what to look at the next time."""
    reading: HostReading = get_fact(
        host.state,
        host,
        Survey,
        kwargs={"request": request, "_timeout": SURVEY},
        apply_failed_hosts=False,
    )
    _readings[host] = _Reading(request, reading, time.monotonic())
    return reading


def current_reading(host: Host) -> HostReading:
    """The remembered reading of `host`, or a new one where it is stale.

    Raises KeyError for a host that `take_reading` never read.
    """
    latest = _readings[host]
    if latest.read_at is None or time.monotonic() - latest.read_at > MAXIMUM_AGE:
        return _read_again(host, latest)
    return latest.reading


def _read_again(host: Host, earlier: _Reading) -> HostReading:
    """Read `host` anew, but for the files of environments that were found whole in this run.

    Nothing that a run executes touches those. A boot may have found other files on the disk.
    """
    whole = tuple(
        which for which, mark in earlier.reading.service.sealed.items() if mark == "whole"
    )
    now = take_reading(host, replace(earlier.request, whole=whole))
    if whole and now.os.boot_id != earlier.reading.os.boot_id:
        return take_reading(host, replace(earlier.request, whole=()))
    return now


def remembered_reading(host: Host) -> HostReading | None:
    """The latest reading of `host`, stale or not; None where it was never read."""
    latest = _readings.get(host)
    return None if latest is None else latest.reading


def forget_reading(host: Host) -> None:
    """Make the next `current_reading` of `host` read it again."""
    _readings[host].read_at = None
