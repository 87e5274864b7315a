"""Boxes and commands that exist only here, for a rollout that is carried out by the real runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fortyninety.fleet.rollout_commands import CommandEnd
from fortyninety.fleet.rollout_run import Run
from fortyninety.rollout.events import End
from fortyninety.rollout.fleet import Fleet, Unit
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.plan_file import RolloutPlan
from fortyninety.rollout.policy import Policy
from fortyninety.rollout.record import Record, read_record
from fortyninety.rollout.resume import Seen, begun
from fortyninety.rollout.seen import BoxSeen
from fortyninety.rollout.soak import Measured

OLD, NEW = "0" * 16, "1" * 16


@dataclass
class Box:
    """A box: what its unit is, whether it answers, and what it noted.

    `ends` is what comes of a deploy: "done", "restored" (its deploy put the old unit back), "down"
    (the new unit does not answer), or "hung" (it was changed, and stops answering when watched).
    """

    ends: str = "done"
    configuration: str = OLD
    answers: bool = True
    noted: str | None = None
    gap: float = 0.02
    tokens: int = 0
    rolls_back: bool = True
    # Says of a look whether it is one of those while the box is watched.
    new_gap: float = 0.02
    # Looks until its gateway is ready once it was changed; None without a gateway.
    looks_until_ready: int | None = None


class Killed(Exception):
    """The controller is gone."""


@dataclass
class World:
    """The boxes of a fleet, and which command of the rollout its controller does not survive."""

    boxes: dict[str, Box]
    killed_after: int | None = None
    commands: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    lost_lease: str = ""

    def look(self, names: Iterable[str]) -> dict[str, BoxSeen]:
        """As they are. Each look finds more tokens."""
        return {name: self._seen(self.boxes[name]) for name in names}

    def _seen(self, box: Box) -> BoxSeen:
        box.tokens += 1000
        gap = box.new_gap if box.configuration == NEW else box.gap
        ready = None if box.looks_until_ready is None else True
        if ready and box.looks_until_ready and box.configuration == NEW:
            ready, box.looks_until_ready = False, box.looks_until_ready - 1
        return BoxSeen(
            gateway_ready=ready,
            answers=box.answers,
            why="" if box.answers else "Connection refused",
            configuration=box.configuration,
            record=None if box.noted is None else read_record(box.noted),
            measured=Measured(box.tokens // 100, 0, box.tokens, box.tokens * gap),
        )

    def answering(self, names: Iterable[str]) -> dict[str, str]:
        """Those that hang do not."""
        return {
            name: ""
            if self.boxes[name].answers
            and not (self.boxes[name].ends == "hung" and self.boxes[name].configuration == NEW)
            else "timed out"
            for name in names
        }

    def note(self, records: Mapping[str, Record]) -> dict[str, str]:
        """As it stands on the box."""
        for name, record in records.items():
            self.boxes[name].noted = record.text()
        return {}

    def lost(self) -> str:
        """What a test says."""
        return self.lost_lease

    def deploy(
        self, hosts: Iterable[str], log: Path, told: Callable[[Phase], None], *, prepare: bool
    ) -> CommandEnd:
        """Do to each box what its fate is."""
        names = self._begun("prepare" if prepare else "deploy", hosts, log)
        if prepare:
            return CommandEnd(0, dict.fromkeys(names, ""))
        told(Phase.CHANGING)
        ends = {name: self._changed(self.boxes[name]) for name in names}
        self._survived()
        told(Phase.GATE)
        return CommandEnd(1 if any(ends.values()) else 0, ends)

    def rollback(self, hosts: Iterable[str], log: Path) -> CommandEnd:
        """Put back what was there, where it goes."""
        names = self._begun("rollback", hosts, log)
        for name in names:
            box = self.boxes[name]
            if box.rolls_back:
                box.configuration, box.answers = OLD, True
        self._survived()
        return CommandEnd(
            0, {name: "" if self.boxes[name].rolls_back else "no unit" for name in names}
        )

    def _begun(self, what: str, hosts: Iterable[str], log: Path) -> list[str]:
        names = list(hosts)
        log.write_text("")
        self.commands.append((what, tuple(names)))
        return names

    def _survived(self) -> None:
        if self.killed_after == len(self.commands):
            self.killed_after = None
            raise Killed

    @staticmethod
    def _changed(box: Box) -> str:
        if box.ends == "restored":
            return "the gate: no completion; restored"
        box.configuration = NEW
        box.answers = box.ends != "down"
        return "" if box.answers else "the gate: no completion"


def plan_of(world: World, policy: Policy) -> RolloutPlan:
    """A rollout of all of it."""
    return RolloutPlan(
        rollout="3f2a9c01",
        begun=0,
        by="ada@laptop",
        limit=(),
        policy=policy,
        targets=dict.fromkeys(world.boxes, NEW),
        served={name: box.answers for name, box in world.boxes.items()},
    )


def roll_out(
    world: World, plan: RolloutPlan, folder: Path, *, stop: str = ""
) -> tuple[Fleet, End, list[dict[str, Any]]]:
    """Roll out by a controller that looks at the boxes first."""
    found = []
    for name, box in world.boxes.items():
        noted = None if box.noted is None else read_record(box.noted)
        phase = None if noted is None else noted.phase
        found.append(Seen(Unit(name, (name,)), box.configuration == NEW, box.answers, phase))
    events: list[dict[str, Any]] = []
    run = Run(plan, world, world, folder, lambda event: events.append(dict(event)))
    if stop:
        run.stop(stop)
    fleet, end = run.carry_out(begun(plan.policy, found, plan.served))
    return fleet, end, events
