"""Hold what a rollout found as it looked at its fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fortyninety.problem import Problem
from fortyninety.rollout.capacity import floor_of
from fortyninety.rollout.fleet import Fleet, Unit
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.plan_file import RolloutPlan
from fortyninety.rollout.policy import Policy
from fortyninety.rollout.record import Record
from fortyninety.rollout.resume import Seen, begun
from fortyninety.rollout.seen import BoxSeen

if TYPE_CHECKING:
    from fortyninety.fleet.rollout_boxes import Boxes


@dataclass
class Looked:
    """A fleet that was looked at, or the problems for which no rollout may begin.

    `changes` is how many operations of a deploy would change each box, `releases` which engines
    they are to have, `left_out` the hosts without an engine.
    """

    problems: tuple[Problem, ...] = ()
    boxes: Boxes | None = None
    units: tuple[Unit, ...] = ()
    changes: Mapping[str, int] | None = None
    seen: Mapping[str, BoxSeen] | None = None
    targets: Mapping[str, str] | None = None
    releases: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def fleet(self, policy: Policy, plan: RolloutPlan | None = None) -> Fleet:
        """The fleet of a rollout that begins, or of one that goes on by its `plan`."""
        assert self.seen is not None and self.changes is not None
        found = [
            Seen(
                unit,
                at_target=not any(self.changes[box] for box in unit.boxes),
                serves=self.serves(unit),
                noted=_noted(self.seen[unit.boxes[0]].record, plan),
            )
            for unit in self.units
        ]
        return begun(policy, found, None if plan is None else plan.served)

    def serves(self, unit: Unit) -> bool:
        """Whether all boxes of a unit answer."""
        assert self.seen is not None
        return all(self.seen[box].answers for box in unit.boxes)

    def configurations(self) -> dict[str, str]:
        """The digest of the unit of each box that has one."""
        assert self.seen is not None
        return {box: seen.configuration for box, seen in self.seen.items() if seen.configuration}

    def floor(self) -> int | None:
        """How many units have to serve for the load that is seen; None where not even all do."""
        assert self.seen is not None
        heads = (self.seen[unit.boxes[0]] for unit in self.units)
        return floor_of(each.load for each in heads if each.answers and each.load is not None)


def _noted(record: Record | None, plan: RolloutPlan | None) -> Phase | None:
    """The phase that a box noted of this rollout, and of no other."""
    if record is None or plan is None or record.rollout != plan.rollout:
        return None
    return record.phase
