"""A fleet that exists only here, and what happens to it while a rollout goes through it.

The boxes keep the truth. The controller has what it decides from, and loses it when it is killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from fortyninety.rollout.decision import after, next_action
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
    Passed,
    Prepare,
    Prepared,
    Refused,
    Restore,
    Soak,
    Wait,
)
from fortyninety.rollout.fleet import Fleet, Unit
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.policy import Policy
from fortyninety.rollout.resume import Seen, begun


class Fate(Enum):
    """What comes of a box that is changed."""

    GOOD = "good"
    NOT_PREPARED = "not prepared"
    RESTORED = "fails and is restored"
    DOWN = "fails and does not serve"
    SLOW = "answers and does badly"
    SLOW_AND_DOWN = "answers, does badly and cannot go back"


class Killed(Exception):
    """The controller is gone."""


@dataclass
class Box:
    """What a box is, whoever looks."""

    fate: Fate = Fate.GOOD
    new: bool = False
    serves: bool = True
    powered: bool = True
    noted: Phase | None = None
    changes: int = 0

    @property
    def in_rotation(self) -> bool:
        """Whether it serves somebody."""
        return self.serves and self.powered


@dataclass
class World:
    """The boxes, and how many serve at the worst moment that the rollout has made."""

    boxes: dict[str, Box]
    policy: Policy
    # The step before which the controller is killed, and the boxes that lose power before a step.
    killed_at: frozenset[int] = frozenset()
    power: dict[int, str] = field(default_factory=dict)
    steps: int = 0
    served: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.served = {name: box.in_rotation for name, box in self.boxes.items()}

    @property
    def serving(self) -> int:
        """How many serve now."""
        return sum(box.in_rotation for box in self.boxes.values())

    @property
    def out(self) -> set[str]:
        """The boxes that served at first and do not."""
        return {name for name, box in self.boxes.items() if self.served[name]} - {
            name for name, box in self.boxes.items() if box.in_rotation
        }

    def look(self) -> Fleet:
        """What a controller finds that begins now."""
        found = [
            Seen(Unit(name, (name,)), box.new, box.in_rotation, box.noted)
            for name, box in self.boxes.items()
        ]
        return begun(self.policy, found, self.served)

    def step(self) -> None:
        """Let time pass: the controller may be killed, a box may lose power."""
        self.steps += 1
        if (lost := self.power.get(self.steps)) is not None:
            self.boxes[lost].powered = False
        if self.steps in self.killed_at:
            raise Killed


def run(world: World) -> End:
    """Roll out with one controller after the other until one of them ends by itself."""
    for _ in range(len(world.killed_at) + 1):
        try:
            return _control(world, world.look())
        except Killed:
            continue
    raise AssertionError("more controllers were killed than there were kills")


def _control(world: World, fleet: Fleet) -> End:
    # Each unit is prepared, changed, watched and restored at most, and once each.
    for _ in range(4 * len(world.boxes) + 2):
        world.step()
        for event in _seen(world, fleet):
            fleet = after(fleet, event)
        action = next_action(fleet)
        if isinstance(action, End):
            return action
        assert not isinstance(action, Wait), "nothing is being done, and it waits"
        _check(world, fleet, action)
        fleet = after(fleet, Begun(action))
        for event in _carried_out(world, action):
            fleet = after(fleet, event)
        _agree(world, fleet)
    raise AssertionError("it does not end")


def _seen(world: World, fleet: Fleet) -> Iterator[Event]:
    """What changed beside the rollout."""
    for each in fleet.units:
        serves = world.boxes[each.name].in_rotation
        if serves != each.serves:
            yield Found(each.name) if serves else Lost(each.name)


def _check(world: World, fleet: Fleet, action: Action) -> None:
    """What must hold at the moment in which boxes are taken out of service."""
    if not isinstance(action, Change):
        return
    taken = [name for name in action.units if world.boxes[name].in_rotation]
    assert len(action.units) <= fleet.batch
    if not taken:
        return
    assert len(taken) + len(world.out) <= fleet.batch, "more are out of service than the batch"
    assert world.serving - len(taken) >= fleet.policy.floor, "fewer serve than the floor"


def _agree(world: World, fleet: Fleet) -> None:
    """What the controller holds of each box is so."""
    for each in fleet.units:
        if each.phase in (Phase.DONE, Phase.SOAKING):
            assert world.boxes[each.name].new
        if each.phase is Phase.FAILED_RESTORED:
            assert not world.boxes[each.name].new


def _carried_out(world: World, action: Action) -> Iterator[Event]:
    """Do to the boxes what was decided; the controller may be killed in the middle."""
    match action:
        case Prepare(units):
            return _prepare(world, units)
        case Change(units, _):
            return _change(world, units)
        case Soak(units):
            return _soak(world, units)
        case Restore(units):
            return _restore(world, units)
        case Wait() | End():
            raise AssertionError(action)


def _prepare(world: World, units: Iterable[str]) -> Iterator[Event]:
    for name in units:
        if world.boxes[name].fate is Fate.NOT_PREPARED:
            yield Failed(name, "no room", serves=world.boxes[name].in_rotation)
        else:
            yield Prepared(name)


def _change(world: World, units: Iterable[str]) -> Iterator[Event]:
    for name in units:
        world.boxes[name].serves = False
        world.boxes[name].noted = Phase.CHANGING
        world.boxes[name].changes += 1
    world.step()
    for name in units:
        yield _changed(name, world.boxes[name])


def _soak(world: World, units: Iterable[str]) -> Iterator[Event]:
    for name in units:
        box = world.boxes[name]
        if box.fate in (Fate.SLOW, Fate.SLOW_AND_DOWN):
            box.noted = Phase.RESTORING
            yield Refused(name, "twice as slow")
        else:
            box.noted = Phase.DONE
            yield Passed(name)


def _restore(world: World, units: Iterable[str]) -> Iterator[Event]:
    for name in units:
        world.boxes[name].serves = False
    world.step()
    for name in units:
        box = world.boxes[name]
        box.new, box.serves = False, box.fate is Fate.SLOW
        box.noted = Phase.FAILED_RESTORED if box.serves else Phase.FAILED
        yield Failed(name, "", serves=box.in_rotation)


def _changed(name: str, box: Box) -> Event:
    if not box.powered:
        box.serves = True  # As soon as it has power again.
        return Failed(name, "lost", serves=False)
    match box.fate:
        case Fate.RESTORED:
            box.serves, box.noted = True, Phase.FAILED_RESTORED
            return Failed(name, "gate", serves=True)
        case Fate.DOWN:
            box.new, box.noted = True, Phase.FAILED
            return Failed(name, "gate", serves=False)
        case Fate.GOOD | Fate.NOT_PREPARED | Fate.SLOW | Fate.SLOW_AND_DOWN:
            box.new, box.serves, box.noted = True, True, Phase.SOAKING
            return Changed(name)
