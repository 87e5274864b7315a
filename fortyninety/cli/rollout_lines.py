"""Say in lines how a rollout goes: one for each box that came to an end, and one for the end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from fortyninety.rollout.events import End
from fortyninety.rollout.fleet import Fleet
from fortyninety.rollout.phases import FAILURES, Phase
from fortyninety.rollout.plan_file import RolloutPlan


def head_line(plan: RolloutPlan, fleet: Fleet, releases: tuple[str, ...]) -> str:
    """What is about to be done."""
    left = len(fleet.within(Phase.WAITING, Phase.PREPARED, Phase.SOAKING))
    policy = plan.policy
    floor = f", {policy.floor} always serving" if policy.floor else ""
    forced = f", forced: {plan.force}" if plan.force else ""
    return (
        f"rollout {plan.rollout}  engine {', '.join(releases)}  {left} of {len(fleet.units)} to "
        f"change: canary {policy.canary}, then {policy.batch} ({fleet.batch}){floor}{forced}"
    )


def event_line(event: Mapping[str, Any]) -> str | None:  # noqa: PLR0911, PLR0912 (one for each)
    """A line of what happened, or None for what is only of passing interest."""
    unit = f"{event.get('unit', '')}"
    match event["event"]:
        case "preparing":
            return f"preparing  {len(event['units'])}: environments and models, nothing restarts"
        case "prepared":
            return f"prepared   {len(event['units'])}"
        case "changing":
            return f"{event['stage']:<10} {', '.join(event['units'])}"
        case "changed":
            return f"  {unit}  changed {event['seconds']:.0f} s  completion ok"
        case "soaking":
            return f"soaking    {', '.join(event['units'])}, beside {event['others']} not changed"
        case "done":
            return f"  {unit}  done: {event['said']}"
        case "refused":
            return f"  {unit}  goes back: {event['why']}"
        case "restoring":
            return f"restoring  {', '.join(event['units'])}"
        case "failed":
            now = "serves as before" if event["serves"] else "DOES NOT SERVE"
            return f"  {unit}  FAILED, {now}: {event['why']}"
        case "not prepared":
            return f"  {unit}  NOT PREPARED, serves as before: {event['why']}"
        case "lost":
            return f"  {unit}  serves no longer, by nothing that was done here"
        case "found":
            return f"  {unit}  serves again"
        case "not noted":
            return f"  {event['box']}  could not note its phase: {event['why']}"
        case _:
            return None


def last_line(fleet: Fleet, end: End, again: Sequence[str], seconds: float) -> str:
    """How it ended, and the command that goes on."""
    new = len(fleet.within(Phase.DONE, Phase.SKIPPED))
    down = [each.name for each in fleet.units if each.out]
    counts = f"{new} new, {len(fleet.units) - new} not"
    if down:
        counts += f"; NOT SERVING: {', '.join(down)}"
    if not end.why and not down:
        return f"done: {counts}, {seconds:.0f} s"
    resume = shlex.join(again)
    return f"stopped: {end.why or 'nothing is left to do'}. {counts}.   Resume: {resume}"


def status_lines(plan: RolloutPlan, fleet: Fleet) -> Iterator[str]:
    """How far each unit is, as its boxes say."""
    begun = datetime.fromtimestamp(plan.begun).strftime("%Y-%m-%d %H:%M")
    yield f"rollout {plan.rollout}, begun {begun} by {plan.by}"
    for each in fleet.units:
        serves = "serves" if each.serves else "DOES NOT SERVE"
        phase = "waiting" if each.phase in FAILURES else each.phase.value
        yield f"  {each.name:<24} {phase:<10} {serves}"
