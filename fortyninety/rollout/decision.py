"""Decide what a rollout does next. Pure: the same fleet gives the same answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from fortyninety.rollout.events import (
    Action,
    Begun,
    Change,
    Changed,
    End,
    Event,
    Failed,
    Found,
    Lost,
    Moved,
    Passed,
    Prepare,
    Prepared,
    Refused,
    Restore,
    Soak,
    StopAsked,
    Wait,
)
from fortyninety.rollout.fleet import Fleet, UnitState
from fortyninety.rollout.phases import ENDS, IN_A_DEPLOY, Phase

IDLE, CANARY, BATCH = "not serving", "canary", "batch"


def after(fleet: Fleet, event: Event) -> Fleet:  # noqa: PLR0911 (one for each event)
    """The fleet after something happened. Raises NotAllowed."""
    match event:
        case Begun(action):
            return _begun(fleet, action)
        case Prepared(unit):
            return fleet.moved(unit, Phase.PREPARED)
        case Moved(unit, phase):
            return fleet.moved(unit, phase)
        case Changed(unit):
            return fleet.moved(unit, Phase.SOAKING, serves=True)
        case Passed(unit):
            return fleet.moved(unit, Phase.DONE)
        case Refused(unit, why):
            return fleet.moved(unit, Phase.RESTORING, why=why)
        case Failed(unit, why, serves):
            phase = Phase.FAILED_RESTORED if serves else Phase.FAILED
            return fleet.moved(unit, phase, serves=serves, why=why or fleet.of(unit).why)
        case Lost(unit):
            return fleet.having(replace(fleet.of(unit), serves=False))
        case Found(unit):
            return fleet.having(replace(fleet.of(unit), serves=True))
        case StopAsked(why):
            return replace(fleet, stop=fleet.stop or why)
        case _:
            assert_never(event)


def _begun(fleet: Fleet, action: Action) -> Fleet:
    match action:
        case Prepare(units):
            for unit in units:
                fleet = fleet.moved(unit, Phase.PREPARING)
        case Change(units, _):
            for unit in units:
                fleet = fleet.moved(unit, Phase.DRAINING, serves=False)
        case Restore(units):
            for unit in units:
                fleet = fleet.having(replace(fleet.of(unit), serves=False))
        case Soak() | Wait() | End():
            pass
        case _:
            assert_never(action)
    return fleet


def next_action(fleet: Fleet) -> Action:  # noqa: PLR0911 (one for each action)
    """What is to be done next.

    What was begun is brought to its end before anything else is, also where the rollout is to stop:
    a unit that was changed is watched, and one that does badly goes back.
    """
    if fleet.within(Phase.PREPARING, *IN_A_DEPLOY):
        return Wait()
    if restoring := fleet.within(Phase.RESTORING):
        return Restore(_names(restoring[: max(1, _room(fleet))]))
    if soaking := fleet.within(Phase.SOAKING):
        return Soak(_names(soaking))
    if all(each.phase in ENDS for each in fleet.units):
        return End(_said_of_failures(fleet))
    if fleet.stop:
        return End(fleet.stop)
    if len(fleet.failures) > fleet.policy.max_failed:
        return End(_said_of_failures(fleet))
    waiting = fleet.within(Phase.WAITING, Phase.PREPARED)
    if unprepared := [each for each in waiting if each.serves and each.phase is Phase.WAITING]:
        return Prepare(_names(unprepared))
    return _change(fleet, waiting)


def needed_by_the_load(fleet: Fleet) -> str:
    """Why no unit may be begun under the load that was seen, or nothing.

    One that does not serve may always be: nobody misses it, and it gives room when it serves.
    """
    waiting = fleet.within(Phase.WAITING, Phase.PREPARED)
    if not waiting or not all(each.serves for each in waiting) or _room(fleet) > 0:
        return ""
    return (
        f"{fleet.serving} serve, and the load that is seen needs {fleet.policy.floor}: those that "
        "remain could not carry it. Wait for less"
    )


def _change(fleet: Fleet, waiting: tuple[UnitState, ...]) -> Action:
    """The units that are changed next.

    Those that do not serve go first: nobody misses them, and they show most of what can be wrong.
    """
    if idle := [each for each in waiting if not each.serves]:
        return Change(_names(idle[: fleet.batch]), IDLE)
    room = _room(fleet)
    if room < 1:
        return End(
            f"{fleet.serving} serve and {fleet.out} that served do not: with {fleet.batch} out of "
            f"service at most and {fleet.policy.floor} serving at least, no other may be begun"
        )
    left = fleet.policy.canary - _passed_under_load(fleet)
    if left > 0:
        return Change(_names(waiting[: min(room, left)]), CANARY)
    return Change(_names(waiting[:room]), BATCH)


def _room(fleet: Fleet) -> int:
    """How many units that serve may be taken out of service now."""
    return min(fleet.batch - fleet.out, fleet.serving - fleet.policy.floor)


def _passed_under_load(fleet: Fleet) -> int:
    """How many units that served were changed and passed."""
    return sum(each.counted for each in fleet.within(Phase.DONE))


def _said_of_failures(fleet: Fleet) -> str:
    if not fleet.failures:
        return ""
    return f"{len(fleet.failures)} failed, {fleet.policy.max_failed} allowed"


def _names(units: Iterable[UnitState]) -> tuple[str, ...]:
    return tuple(each.name for each in units)
