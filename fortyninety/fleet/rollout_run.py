"""Carry out what a rollout decides, until it ends; the boxes keep how far each of them is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, assert_never

from fortyninety.fleet.rollout_commands import CommandEnd
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
from fortyninety.rollout.fleet import Fleet, Unit
from fortyninety.rollout.phases import Phase, may_follow
from fortyninety.rollout.plan_file import RolloutPlan
from fortyninety.rollout.record import Record
from fortyninety.rollout.seen import NOTHING, BoxSeen
from fortyninety.rollout.soak import Measured, total, verdict

# Seconds between two completions of a unit that is watched, and how many failures in a row are no
# answer.
PROBED = 5.0
IN_VAIN = 2

# Seconds for a gateway to say that it is ready: what it says is of its own last probe, which may be
# of while the engine was restarted.
READY_LATE = 90.0

Told = Callable[[dict[str, Any]], None]


class Boxes(Protocol):
    """The boxes of a rollout by name, as they are reached."""

    def look(self, names: Iterable[str]) -> dict[str, BoxSeen]:
        """How these boxes are."""

    def answering(self, names: Iterable[str]) -> dict[str, str]:
        """Why each of these boxes does not answer, "" where it does."""

    def note(self, records: Mapping[str, Record]) -> dict[str, str]:
        """Have boxes note what they are in; why one could not, by its name."""

    def lost(self) -> str:
        """Why the rollout has not the boxes to itself any more, or nothing."""


class Commands(Protocol):
    """What changes hosts, each in a process of its own whose output is in `log`."""

    def deploy(
        self, hosts: Iterable[str], log: Path, told: Callable[[Phase], None], *, prepare: bool
    ) -> CommandEnd:
        """Deploy to these hosts and no others."""

    def rollback(self, hosts: Iterable[str], log: Path) -> CommandEnd:
        """Put back what these hosts served."""


class Run:
    """One controller's run of a rollout."""

    def __init__(
        self, plan: RolloutPlan, boxes: Boxes, commands: Commands, folder: Path, tell: Told
    ) -> None:
        self._plan, self._boxes, self._commands = plan, boxes, commands
        self._folder, self._tell = folder, tell
        self._fleet = Fleet(plan.policy, ())
        self._seen: dict[str, BoxSeen] = {}
        # What a unit did before it was changed, and the configuration that it had.
        self._earlier: dict[str, Measured] = {}
        self._before: dict[str, str | None] = {}
        self._changed_in: dict[str, float] = {}
        self._stop = ""

    def stop(self, why: str) -> None:
        """Begin no other unit."""
        self._stop = self._stop or why

    def carry_out(self, fleet: Fleet) -> tuple[Fleet, End]:
        """Do what is decided until nothing is left to do."""
        self._fleet = fleet
        while True:
            self._look_at_all()
            action = next_action(self._fleet)
            if isinstance(action, End):
                return self._fleet, action
            self._happened(Begun(action))
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Prepare(units):
                self._prepare(units)
            case Change(units, stage):
                self._change(units, stage)
            case Soak(units):
                self._soak(units)
            case Restore(units):
                self._restore(units)
            case Wait() | End():
                raise AssertionError("nothing is under way that somebody else would end")
            case _:
                assert_never(action)

    def _happened(self, event: Event) -> None:
        self._fleet = after(self._fleet, event)

    def _look_at_all(self) -> None:
        """See what changed beside the rollout: who lost power, who wants it to stop."""
        self._seen = self._boxes.look(box for each in self._fleet.units for box in each.unit.boxes)
        for each in self._fleet.units:
            serves = self._serves(each.unit)
            if serves != each.serves:
                self._happened(Found(each.name) if serves else Lost(each.name))
                self._tell({"event": "found" if serves else "lost", "unit": each.name})
        if not self._stop and (lost := self._boxes.lost()):
            self._stop = f"its lease of a box was lost: {lost}"
        if self._stop:
            self._happened(StopAsked(self._stop))

    def _serves(self, unit: Unit) -> bool:
        return all(self._seen[box].answers for box in unit.boxes)

    def _boxes_of(self, units: Iterable[str]) -> list[str]:
        return [box for name in units for box in self._fleet.of(name).unit.boxes]

    def _log(self, what: str) -> Path:
        taken = len(list(self._folder.glob("*.log")))
        return self._folder / f"{taken + 1:03}-{what}.log"

    def _note(self, units: Iterable[str], phase: Phase) -> None:
        """Have the boxes note it; one that cannot keeps nothing from going on."""
        now = int(time.time())
        rollout, targets = self._plan.rollout, self._plan.targets
        records = {box: Record(rollout, targets[box], phase, now) for box in self._boxes_of(units)}
        for box, why in self._boxes.note(records).items():
            self._tell({"event": "not noted", "box": box, "why": why})

    def _prepare(self, units: tuple[str, ...]) -> None:
        self._tell({"event": "preparing", "units": list(units)})
        ended = self._commands.deploy(
            self._boxes_of(units), self._log("prepare"), lambda phase: None, prepare=True
        )
        for name in units:
            if why := self._why(name, ended):
                self._happened(Failed(name, why, serves=self._fleet.of(name).serves))
                self._tell({"event": "not prepared", "unit": name, "why": why})
            else:
                self._happened(Prepared(name))
        self._tell({"event": "prepared", "units": list(units)})

    def _why(self, name: str, ended: CommandEnd) -> str:
        """Why a unit was not done, of all of its boxes; nothing where it was."""
        boxes = self._fleet.of(name).unit.boxes
        return "; ".join(why for box in boxes if (why := ended.hosts[box]))

    def _change(self, units: tuple[str, ...], stage: str) -> None:
        for name in units:
            head = self._seen[self._fleet.of(name).unit.boxes[0]]
            self._earlier[name], self._before[name] = head.measured, head.configuration
        self._note(units, Phase.CHANGING)
        self._tell({"event": "changing", "units": list(units), "stage": stage})
        began = time.monotonic()
        ended = self._commands.deploy(
            self._boxes_of(units),
            self._log("deploy"),
            lambda phase: self._moved(units, phase),
            prepare=False,
        )
        seconds = time.monotonic() - began
        self._seen |= self._boxes.look(self._boxes_of(units))
        failed = {
            name: why for name in units if (why := self._why(name, ended) or self._not_so(name))
        }
        if back := [name for name in failed if self._is_to_go_back(name)]:
            self._roll_back(back)
        for name in units:
            self._changed_in[name] = seconds
            if name not in failed:
                self._happened(Changed(name))
                self._note([name], Phase.SOAKING)
                self._tell({"event": "changed", "unit": name, "seconds": round(seconds, 1)})
            else:
                self._fail(name, failed[name])

    def _moved(self, units: Iterable[str], phase: Phase) -> None:
        for name in units:
            if may_follow(self._fleet.of(name).phase, phase):
                self._happened(Moved(name, phase))
                self._tell({"event": "phase", "unit": name, "phase": phase.value})

    def _not_so(self, name: str) -> str:
        """Why a unit whose deploy succeeded is not what it was to become, or nothing."""
        for box in self._fleet.of(name).unit.boxes:
            seen = self._seen[box]
            if not seen.answers:
                return f"{box} does not answer: {seen.why}"
            if seen.configuration != self._plan.targets[box]:
                return (
                    f"{box} has configuration {seen.configuration}, expected "
                    f"{self._plan.targets[box]}: did the inventory change meanwhile?"
                )
        return ""

    def _is_to_go_back(self, name: str) -> bool:
        """Whether a unit does not answer by what this rollout gave it, and had something before."""
        unit = self._fleet.of(name).unit
        found, before = self._seen[unit.boxes[0]].configuration, self._before[name]
        return not self._serves(unit) and None not in (found, before) and found != before

    def _roll_back(self, units: Iterable[str]) -> dict[str, str]:
        """Put back what units served; why it was not done, by unit."""
        names = list(units)
        self._tell({"event": "restoring", "units": names})
        boxes = self._boxes_of(names)
        ended = self._commands.rollback(boxes, self._log("rollback"))
        self._seen |= self._boxes.look(boxes)
        return {name: why for name in names if (why := self._why(name, ended))}

    def _fail(self, name: str, why: str) -> None:
        unit = self._fleet.of(name).unit
        serves = self._serves(unit)
        self._happened(Failed(name, why, serves=serves))
        self._note([name], self._fleet.of(name).phase)
        self._tell(
            {"event": "failed", "unit": name, "why": self._fleet.of(name).why, "serves": serves}
        )

    def _soak(self, units: tuple[str, ...]) -> None:
        others = self._unchanged()
        self._tell({"event": "soaking", "units": list(units), "others": len(others)})
        names = [*units, *others]
        before = self._boxes.look(self._boxes_of(names))
        refused = self._watched(units)
        self._wait_until_ready(name for name in units if name not in refused)
        after_it = self._boxes.look(self._boxes_of(names))
        measured = {name: self._measured(name, before, after_it) for name in names}
        meanwhile = total(measured[name] for name in others)
        self._seen |= after_it
        for name in units:
            head = after_it[self._fleet.of(name).unit.boxes[0]]
            found = verdict(measured[name], meanwhile, self._earlier.get(name, NOTHING))
            why = refused.get(name, "")
            if not why and head.gateway_ready is False:
                why = "its gateway says that it is not ready"
            if not why and not found.passed:
                why = found.said
            if why:
                self._happened(Refused(name, why))
                self._note([name], Phase.RESTORING)
                self._tell({"event": "refused", "unit": name, "why": why})
            else:
                self._happened(Passed(name))
                self._note([name], Phase.DONE)
                self._tell(
                    {
                        "event": "done",
                        "unit": name,
                        "said": found.said,
                        "seconds": round(self._changed_in.get(name, 0.0), 1),
                    }
                )

    def _unchanged(self) -> list[str]:
        waiting = self._fleet.within(Phase.WAITING, Phase.PREPARED, Phase.FAILED_RESTORED)
        return [each.name for each in waiting if each.serves]

    def _measured(
        self, name: str, before: dict[str, BoxSeen], after_it: dict[str, BoxSeen]
    ) -> Measured:
        head = self._fleet.of(name).unit.boxes[0]
        return after_it[head].measured.since(before[head].measured)

    def _watched(self, units: tuple[str, ...]) -> dict[str, str]:
        """Ask units again and again; why those that failed to answer twice in a row are no good."""
        until = time.monotonic() + self._plan.policy.soak
        vain: dict[str, int] = {}
        refused: dict[str, str] = {}
        while True:
            found = self._boxes.answering(self._boxes_of(units))
            for name in units:
                boxes = self._fleet.of(name).unit.boxes
                why = next((found[box] for box in boxes if found[box]), "")
                vain[name] = vain.get(name, 0) + 1 if why else 0
                if vain[name] == IN_VAIN:
                    refused.setdefault(name, f"it stopped answering: {why}")
            left = until - time.monotonic()
            # One that failed to answer at the very end is asked once more.
            unsure = any(0 < count < IN_VAIN for count in vain.values())
            if (left <= 0 and not unsure) or len(refused) == len(units):
                return refused
            time.sleep(PROBED if left <= 0 else min(PROBED, left))

    def _wait_until_ready(self, units: Iterable[str]) -> None:
        """Give gateways that are not ready the time until their next probe."""
        heads = [self._fleet.of(name).unit.boxes[0] for name in units]
        until = time.monotonic() + READY_LATE
        while any(seen.gateway_ready is False for seen in self._boxes.look(heads).values()):
            if time.monotonic() >= until:
                return
            time.sleep(PROBED)

    def _restore(self, units: tuple[str, ...]) -> None:
        not_done = self._roll_back(units)
        for name in units:
            # Why it is restored is known of it already.
            known = self._fleet.of(name).why
            self._fail(
                name, f"{known}; not rolled back: {not_done[name]}" if name in not_done else ""
            )
