"""Begin a rollout, or take it up again, from what the boxes say. The plan is no witness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fortyninety.rollout.fleet import Fleet, Unit, UnitState
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.policy import Policy


@dataclass(frozen=True)
class Seen:
    """What a unit was found to be.

    `at_target` is whether a deploy would change nothing, `noted` the phase that its boxes have
    noted of this rollout, None where they have none.
    """

    unit: Unit
    at_target: bool
    serves: bool
    noted: Phase | None = None


def begun(policy: Policy, found: Iterable[Seen], served: Mapping[str, bool] | None = None) -> Fleet:
    """The fleet of a rollout that begins, or that goes on.

    `served` says which units served when it began, where it goes on: those are missed. What failed
    is tried again, since somebody looked at it before they went on.
    """
    known = served or {}
    return Fleet(
        policy,
        tuple(
            UnitState(
                each.unit,
                phase=phase_of(each),
                serves=each.serves,
                counted=known.get(each.unit.name, each.serves),
            )
            for each in found
        ),
    )


def phase_of(seen: Seen) -> Phase:
    """The phase of a unit that nobody is changing."""
    if not (seen.at_target and seen.serves):
        return Phase.WAITING
    match seen.noted:
        case None | Phase.SKIPPED:
            return Phase.SKIPPED
        case Phase.DONE:
            return Phase.DONE
        case Phase.DRAINING | Phase.CHANGING | Phase.GATE | Phase.SOAKING | Phase.RESTORING:
            # Whoever looked after it went away before it was watched.
            return Phase.SOAKING
        case (
            Phase.WAITING | Phase.PREPARING | Phase.PREPARED | Phase.FAILED_RESTORED | Phase.FAILED
        ):
            # Somebody else brought it there.
            return Phase.SKIPPED
