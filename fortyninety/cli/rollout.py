"""Change a fleet box by box while it serves: `fortyninety rollout`."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER, NOT_SERVING
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT, YES
from fortyninety.cli.replaced_file import replace_file
from fortyninety.cli.rollout_lines import event_line, head_line, last_line, status_lines
from fortyninety.cli.waiting import waiting
from fortyninety.lease import rollout_claim, whoever_runs_this
from fortyninety.problem import problem_lines
from fortyninety.rollout.decision import needed_by_the_load
from fortyninety.rollout.events import End
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.plan_file import LARGEST, PlanUnusable, RolloutPlan, read_plan
from fortyninety.rollout.policy import Batch, Policy, read_batch
from fortyninety.rollout.record import is_rollout_id
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from fortyninety.fleet.rollout_looked import Looked
    from fortyninety.fleet.rollout_run import Commands
    from fortyninety.rollout.fleet import Fleet

_TO_DO = (Phase.WAITING, Phase.PREPARED)
PLAN, EVENTS = "plan.json", "events.jsonl"


def _read_batch(_context: click.Context, _option: click.Parameter, text: str) -> Batch:
    try:
        return read_batch(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def read_rollout_id(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> str | None:
    """The id of a rollout that an option names. Raises BadParameter."""
    if text is not None and not is_rollout_id(text):
        raise click.BadParameter("expected the id of a rollout, such as 3f2a9c01")
    return text


@click.command()
@INVENTORY
@LIMIT
@click.option(
    "--canary",
    type=click.IntRange(0, 1000),
    default=1,
    metavar="N",
    help="Boxes before the first batch; default: 1.",
)
@click.option(
    "--batch",
    default="25%",
    metavar="N|P%",
    callback=_read_batch,
    help="Boxes at once; default: 25%.",
)
@click.option(
    "--max-failed",
    type=click.IntRange(0, 1000),
    default=0,
    metavar="N",
    help="Stop when more failed; default: 0.",
)
@click.option(
    "--soak",
    type=click.IntRange(0, 86400),
    default=60,
    metavar="SECONDS",
    help="Watch each batch so long; default: 60.",
)
@click.option("--force", metavar="REASON", help="Whatever the load; the reason is kept.")
@click.option("--resume", metavar="ID", callback=read_rollout_id, help="Go on with a rollout.")
@click.option("--status", is_flag=True, help="Say how far the latest, or that of --resume, is.")
@YES
@AS_JSON
def rollout(  # noqa: PLR0917 (click gives them by name)
    inventory: str,
    limit: tuple[str, ...],
    canary: int,
    batch: Batch,
    max_failed: int,
    soak: int,
    force: str | None,
    resume: str | None,
    status: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Deploy to a few hosts at a time, while the others serve.

    Everything that restarts nothing is brought to all of them first. Then come the boxes that do
    not serve, a canary, and batches: each box has to answer, and to do as well under load as those
    that were not changed, or it goes back to what it served. After more failures than --max-failed
    no other box is begun. Ctrl-C stops after what is under way.

    It is refused where the boxes that remain could not carry the load that is seen now.

    Ends with 0 where every box is as it was to be, 1 where it was refused, declined or stopped and
    what served does so, 4 where a box that served does not, 2 where a host could not be looked at.

    \b
    Examples:
      fortyninety rollout inventory/prod.py
      fortyninety rollout inventory/prod.py --canary 2 --batch 3 --soak 300
      fortyninety rollout inventory/prod.py --resume 3f2a9c01 --yes
      fortyninety rollout inventory/prod.py --status --json
    """
    if force is not None and not force.strip():
        raise click.UsageError("--force is empty; expected a reason")
    if status:
        _status(inventory, resume, as_json)
        return
    if as_json and not yes:
        raise click.UsageError("--json needs --yes: nobody is asked then")
    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: give --yes")
    policy = Policy(canary=canary, batch=batch, max_failed=max_failed, soak=soak)
    plan = None if resume is None else kept_plan(inventory, resume)
    if plan is not None:
        _wait_for_commands(inventory, plan)
    with fleet_looked_at(inventory, limit if plan is None else plan.limit) as looked:
        if looked.problems:
            say(f"Refused: nothing was changed, for {len(looked.problems)} reasons:", fg="red")
            say(*problem_lines(looked.problems), fg="red")
            if as_json:
                print_envelope(NO_ANSWER, None, looked.problems)
            sys.exit(NO_ANSWER)
        if plan is None:
            plan = _new_plan(looked, limit, policy, printable(force or "", 200))
        elif dict(looked.targets or {}) != dict(plan.targets):
            raise NoAnswer(
                f"the settings are no longer those of rollout {plan.rollout}: begin another one"
            )
        code = _rolled_out(inventory, looked, plan, yes=yes, as_json=as_json, resumed=bool(resume))
    sys.exit(code)


def _wait_for_commands(inventory: str, plan: RolloutPlan) -> None:
    from fortyninety.fleet.rollout_commands import wait_until_over  # noqa: PLC0415

    wait_until_over(
        folder_of(inventory) / plan.rollout,
        lambda: say("Waiting for the end of what was under way when it was left"),
    )


def _rolled_out(
    inventory: str, looked: Looked, plan: RolloutPlan, *, yes: bool, as_json: bool, resumed: bool
) -> int:
    """Ask, roll out, and say how it ended."""
    fleet = looked.fleet(plan.policy, plan if resumed else None)
    say(head_line(plan, fleet, looked.releases))
    if looked.left_out:
        names = printable(", ".join(looked.left_out))
        say(f"left out, without an engine, for `fortyninety deploy --limit`: {names}")
    if why := needed_by_the_load(fleet):
        why = f"{why}, or give --force with a reason"
        say(f"Refused: {why}", fg="red")
        if as_json:
            print_envelope(NO, None, [why])
        return NO
    if not yes and not click.confirm("Roll this out?", err=True):
        say("Nothing was changed")
        return NO
    from fortyninety.fleet.rollout_commands import FleetCommands  # noqa: PLC0415

    again = ["fortyninety", "rollout", inventory, "--resume", plan.rollout]
    return carried_out(
        *(inventory, looked, plan, fleet),
        commands=FleetCommands(inventory),
        again=again,
        as_json=as_json,
    )


def carried_out(
    inventory: str,
    looked: Looked,
    plan: RolloutPlan,
    fleet: Fleet,
    *,
    commands: Commands,
    again: Sequence[str],
    as_json: bool,
) -> int:
    """Do it, and say how it ended; `again` is the command that goes on with it."""
    from fortyninety.fleet.rollout_run import Run  # noqa: PLC0415
    from fortyninety.fleet.stopping import stopped_by_ctrl_c  # noqa: PLC0415
    from fortyninety.lease import Refused  # noqa: PLC0415

    boxes = looked.boxes
    assert boxes is not None
    try:
        boxes.hold(rollout_claim(plan.rollout))
    except Refused as refused:
        raise NoAnswer(f"another rollout is under way: {refused}") from refused
    folder = folder_of(inventory) / plan.rollout
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / PLAN, plan.text())
    events: list[dict[str, Any]] = []
    began = time.monotonic()
    try:
        with (folder / EVENTS).open("a") as stream, waiting("beginning") as shown:

            def tell(event: Mapping[str, Any]) -> None:
                whole = {"time": round(time.time(), 1), **event}
                events.append(whole)
                stream.write(json.dumps(whole) + "\n")
                stream.flush()
                if (line := event_line(event)) is not None:
                    say(printable(line))
                shown.update(printable(_under_way(event), 200))

            run = Run(plan, boxes, commands, folder, tell)
            with stopped_by_ctrl_c(lambda: _stop(run.stop)):
                fleet, end = run.carry_out(fleet)
    finally:
        boxes.give_back()
    code = _code(fleet, end)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        print_envelope(code, _page(plan, fleet, end, seconds, events))
    else:
        say(last_line(fleet, end, again, seconds), fg=None if code == DONE else "red")
    return code


def _stop(stop: Callable[[str], None]) -> None:
    say("Stopping after what is under way; Ctrl-C again leaves it to itself")
    stop("Ctrl-C")


def _under_way(event: Mapping[str, Any]) -> str:
    units = event.get("units") or [event.get("unit", "")]
    return f"{event.get('phase') or event['event']}: {', '.join(map(str, units))}"


def _code(fleet: Fleet, end: End) -> int:
    if fleet.out:
        return NOT_SERVING
    return NO if end.why else DONE


def _page(
    plan: RolloutPlan, fleet: Fleet, end: End, seconds: float, events: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "rollout": plan.rollout,
        "stopped": end.why or None,
        "seconds": seconds,
        "units": [
            {
                "unit": each.name,
                "boxes": list(each.unit.boxes),
                "phase": each.phase.value,
                "serves": each.serves,
                "why": each.why or None,
            }
            for each in fleet.units
        ],
        "events": events,
    }


def _new_plan(looked: Looked, limit: tuple[str, ...], policy: Policy, force: str) -> RolloutPlan:
    from fortyninety.fleet.rollout_begin import with_floor  # noqa: PLC0415

    fleet = looked.fleet(policy)
    floor = looked.floor()
    needed = 0 if force else fleet.serving if floor is None else floor
    return RolloutPlan(
        rollout=secrets.token_hex(4),
        begun=int(time.time()),
        by=whoever_runs_this(),
        limit=limit,
        policy=with_floor(policy, needed),
        targets=dict(looked.targets or {}),
        served={each.name: each.serves for each in fleet.units},
        force=force,
        before=looked.configurations(),
    )


def folder_of(inventory: str) -> Path:
    """Where the plans of an inventory's rollouts are kept: beside it, prod.rollouts for prod.py."""
    path = Path(inventory)
    return path.with_name(f"{path.stem}.rollouts")


def kept_plan(inventory: str, rollout: str) -> RolloutPlan:
    """The plan of a rollout. Raises NoAnswer."""
    path = folder_of(inventory) / rollout / PLAN
    try:
        with path.open() as stream:
            return read_plan(stream.read(LARGEST))
    except (OSError, UnicodeError, PlanUnusable) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise NoAnswer(f"{path}: {why}") from error


def _latest(inventory: str) -> RolloutPlan:
    """The plan that was begun last. Raises NoAnswer."""
    paths = sorted(folder_of(inventory).glob(f"*/{PLAN}"), key=lambda path: path.stat().st_mtime)
    if not paths:
        raise NoAnswer(f"{folder_of(inventory)} has no rollout")
    return kept_plan(inventory, paths[-1].parent.name)


@contextmanager
def fleet_looked_at(inventory: str, limit: tuple[str, ...]) -> Iterator[Looked]:
    """The fleet, connected meanwhile. Raises NoAnswer."""
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.rollout_begin import looked_at  # noqa: PLC0415

    shown = waiting(f"looking at the hosts of {inventory}")
    shown.start()
    try:
        with looked_at(inventory, limit) as looked:
            shown.stop()
            yield looked
    except InventoryUnusable as unusable:
        raise NoAnswer(str(unusable)) from unusable
    finally:
        shown.stop()


def _status(inventory: str, rollout: str | None, as_json: bool) -> None:
    """Say how far a rollout is, as its boxes say. Changes nothing."""
    plan = _latest(inventory) if rollout is None else kept_plan(inventory, rollout)
    with fleet_looked_at(inventory, plan.limit) as looked:
        if looked.problems:
            raise NoAnswer("its boxes cannot all be looked at", looked.problems)
        fleet = looked.fleet(plan.policy, plan)
        code = NOT_SERVING if fleet.out else NO if fleet.within(*_TO_DO, Phase.SOAKING) else DONE
        if as_json:
            print_envelope(code, _page(plan, fleet, End(), 0.0, []))
        else:
            click.echo("\n".join(status_lines(plan, fleet)))
    sys.exit(code)


def say(*lines: str, fg: str | None = None) -> None:
    for line in lines:
        click.secho(line, fg=fg, err=True)
