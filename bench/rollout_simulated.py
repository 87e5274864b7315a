"""Compute how long a rollout takes through a fleet, by the rollout's own decisions.

Nothing is measured here: what a box takes is given, and what comes of it is arithmetic.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import click

from fortyninety.rollout.decision import after, next_action
from fortyninety.rollout.events import (
    Action,
    Begun,
    Change,
    Changed,
    End,
    Event,
    Passed,
    Prepare,
    Prepared,
    Restore,
    Soak,
    Wait,
)
from fortyninety.rollout.fleet import Fleet, Unit, UnitState
from fortyninety.rollout.policy import Batch, Count, Policy, read_batch


@dataclass(frozen=True)
class Seconds:
    """What a box takes, and how many are prepared side by side."""

    prepare: float
    drain: float
    change: float
    soak: float
    side_by_side: int


def computed(boxes: int, policy: Policy, seconds: Seconds) -> tuple[float, int]:
    """Seconds of a rollout in which nothing fails, and how many batches it had."""
    names = [f"box-{number}" for number in range(boxes)]
    fleet = Fleet(policy, tuple(UnitState(Unit(name, (name,))) for name in names))
    took, batches = 0.0, 0
    while not isinstance(action := next_action(fleet), End):
        fleet = after(fleet, Begun(action))
        spent, events = _carried_out(action, seconds)
        took += spent
        batches += isinstance(action, Change)
        for event in events:
            fleet = after(fleet, event)
    return took, batches


def _carried_out(action: Action, seconds: Seconds) -> tuple[float, list[Event]]:
    match action:
        case Prepare(units):
            rounds = math.ceil(len(units) / seconds.side_by_side)
            return rounds * seconds.prepare, [Prepared(name) for name in units]
        case Change(units, _):
            return seconds.drain + seconds.change, [Changed(name) for name in units]
        case Soak(units):
            return seconds.soak, [Passed(name) for name in units]
        case Restore() | Wait() | End():
            raise AssertionError(action)


def _batch(_context: click.Context, _option: click.Parameter, text: str) -> Batch:
    try:
        return read_batch(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--boxes", default=100, show_default=True)
@click.option("--batch", default="25%", show_default=True, callback=_batch)
@click.option("--canary", default=1, show_default=True)
@click.option("--prepare", default=600.0, show_default=True, help="Seconds; assumed.")
@click.option("--drain", default=30.0, show_default=True, help="Seconds; assumed.")
@click.option("--change", default=120.0, show_default=True, help="Seconds to the gate; assumed.")
@click.option("--soak", default=60, show_default=True, help="Seconds.")
@click.option("--side-by-side", default=100, show_default=True, help="Prepared at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(  # noqa: PLR0917 (click gives them by name)
    boxes: int,
    batch: Batch,
    canary: int,
    prepare: float,
    drain: float,
    change: float,
    soak: int,
    side_by_side: int,
    as_json: bool,
) -> None:
    """Compute a rollout through a fleet, and the same one box after the other.

    One box after the other is a deploy of each with nothing prepared: what it fetches and builds
    counts for each.

    \b
    Examples:
      python -m bench.rollout_simulated
      python -m bench.rollout_simulated --boxes 12 --batch 3 --json
    """
    seconds = Seconds(prepare, drain, change, soak, side_by_side)
    took, batches = computed(boxes, Policy(canary=canary, batch=batch, soak=soak), seconds)
    single = Policy(canary=0, batch=Count(1), soak=soak)
    prepared, _ = computed(boxes, single, seconds)
    alone = boxes * (prepare + drain + change + soak)
    result = {
        "boxes": boxes,
        "batches": batches,
        "seconds": took,
        "one_by_one_prepared_seconds": prepared,
        "one_by_one_seconds": alone,
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(f"{boxes} boxes in {batches} batches of {batch} at most: {took / 60:.1f} minutes")
    click.echo(f"one after the other, prepared together: {prepared / 60:.1f} minutes")
    click.echo(f"one after the other, each prepared by itself: {alone / 60:.1f} minutes")


if __name__ == "__main__":
    main()
