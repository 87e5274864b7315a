"""The fleet of a rollout as far as it is known: each unit, its phase and whether it serves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fortyninety.rollout.phases import FAILURES, Phase, moved
from fortyninety.rollout.policy import Policy, batch_size


@dataclass(frozen=True)
class Unit:
    """What changes as one and serves as one: a box, or all members of a cell, its head first."""

    name: str
    boxes: tuple[str, ...]


@dataclass(frozen=True)
class UnitState:
    """A unit in a rollout.

    `serves` is whether it is in rotation now, `counted` whether it is one of those that served when
    the rollout looked first, and so is missed while it does not. `why` is of a failure.
    """

    unit: Unit
    phase: Phase = Phase.WAITING
    serves: bool = True
    counted: bool = True
    why: str = ""

    @property
    def name(self) -> str:
        """The unit's."""
        return self.unit.name

    @property
    def out(self) -> bool:
        """Whether it is missed."""
        return self.counted and not self.serves


@dataclass(frozen=True)
class Fleet:
    """All units of a rollout in the inventory's order, and why it is to stop where it is."""

    policy: Policy
    units: tuple[UnitState, ...]
    stop: str = ""

    def of(self, name: str) -> UnitState:
        """The unit of that name."""
        return next(each for each in self.units if each.name == name)

    def within(self, *phases: Phase) -> tuple[UnitState, ...]:
        """The units in one of these phases."""
        return tuple(each for each in self.units if each.phase in phases)

    @property
    def batch(self) -> int:
        """How many units may be out of service at once."""
        return batch_size(self.policy.batch, len(self.units))

    @property
    def serving(self) -> int:
        """How many units serve."""
        return sum(each.serves for each in self.units)

    @property
    def out(self) -> int:
        """How many units that served do not."""
        return sum(each.out for each in self.units)

    @property
    def failures(self) -> tuple[UnitState, ...]:
        """The units that failed, restored or not."""
        return tuple(each for each in self.units if each.phase in FAILURES)

    def moved(self, name: str, phase: Phase, *, serves: bool | None = None, why: str = "") -> Fleet:
        """The fleet with a unit in its next phase. Raises NotAllowed."""
        before = self.of(name)
        after = replace(
            before,
            phase=moved(before.phase, phase),
            serves=before.serves if serves is None else serves,
            why=why,
        )
        return self.having(after)

    def having(self, after: UnitState) -> Fleet:
        """The fleet with this in place of the unit of its name."""
        units = (after if each.name == after.name else each for each in self.units)
        return replace(self, units=tuple(units))


def units_of(boxes: Iterable[str], cells: Mapping[str, str]) -> tuple[Unit, ...]:
    """The units of boxes in the inventory's order; `cells` has the cell of those that are in one.

    The first box of a cell is its head, and gives the unit its place.
    """
    members: dict[str, list[str]] = {}
    for box in boxes:
        members.setdefault(f"cell {cells[box]}" if box in cells else box, []).append(box)
    return tuple(Unit(name, tuple(boxes)) for name, boxes in members.items())
