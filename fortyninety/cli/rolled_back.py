"""Put back what the boxes of a rollout served before it, a few at a time as it went."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import NO
from fortyninety.cli.rollout import (
    carried_out,
    fleet_looked_at,
    kept_plan,
    say,
)
from fortyninety.lease import whoever_runs_this
from fortyninety.rollout.decision import needed_by_the_load
from fortyninety.rollout.fleet import Fleet, UnitState
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.plan_file import RolloutPlan

if TYPE_CHECKING:
    from fortyninety.fleet.rollout_looked import Looked


def roll_back_rollout(inventory: str, rollout: str, *, as_json: bool) -> int:
    """Roll the boxes of a rollout back by its own policy; the exit code. Raises NoAnswer."""
    done = kept_plan(inventory, rollout)
    with fleet_looked_at(inventory, done.limit) as looked:
        if looked.problems:
            raise NoAnswer("its boxes cannot all be looked at", looked.problems)
        plan = plan_back(looked, done)
        fleet = fleet_back(looked, plan)
        left = fleet.within(Phase.PREPARED)
        say(
            f"rollback {plan.rollout} of rollout {rollout}  {len(left)} of {len(fleet.units)} to "
            f"go back: {plan.policy.canary}, then {plan.policy.batch} ({fleet.batch})"
        )
        if why := needed_by_the_load(fleet):
            say(f"Refused: {why}", fg="red")
            if as_json:
                print_envelope(NO, None, [why])
            return NO
        from fortyninety.fleet.rollout_commands import FleetRollbacks  # noqa: PLC0415

        assert looked.boxes is not None
        drained = [
            name
            for name, each in looked.boxes.plans.items()
            if each.gateway is not None and not each.headless
        ]
        again = ["fortyninety", "rollback", inventory, "--rollout", rollout]
        commands = FleetRollbacks(inventory, rollout, drained)
        return carried_out(
            inventory, looked, plan, fleet, commands=commands, again=again, as_json=as_json
        )


def plan_back(looked: Looked, done: RolloutPlan) -> RolloutPlan:
    """The plan of the way back. Raises NoAnswer for boxes that cannot go there by it."""
    now = looked.configurations()
    boxes = [box for unit in looked.units for box in unit.boxes]
    if unknown := [box for box in boxes if box not in done.before]:
        raise NoAnswer(f"nothing was noted to have served before on {', '.join(unknown)}")
    if others := [
        box for box in boxes if now.get(box) not in (done.before[box], done.targets.get(box))
    ]:
        raise NoAnswer(f"{', '.join(others)}: changed since rollout {done.rollout}")
    floor = looked.floor()
    serving = sum(looked.serves(unit) for unit in looked.units)
    return RolloutPlan(
        rollout=secrets.token_hex(4),
        begun=int(time.time()),
        by=whoever_runs_this(),
        limit=done.limit,
        policy=replace(done.policy, floor=serving if floor is None else floor),
        targets={box: done.before[box] for box in boxes},
        served={unit.name: looked.serves(unit) for unit in looked.units},
        before={box: now[box] for box in boxes},
    )


def fleet_back(looked: Looked, plan: RolloutPlan) -> Fleet:
    """The units of it; those that are as before already stay so, since a second rollback would
    bring the change again."""
    return Fleet(
        plan.policy,
        tuple(
            UnitState(
                unit,
                phase=Phase.PREPARED
                if any(plan.before[box] != plan.targets[box] for box in unit.boxes)
                else Phase.SKIPPED,
                serves=looked.serves(unit),
                counted=looked.serves(unit),
            )
            for unit in looked.units
        ),
    )
