"""Keep boxes from getting anything new for a while: `fortyninety drain` and `undrain`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from fortyninety.cli.each_host import connected_hosts, on_each_host, print_lines
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY
from fortyninety.on_host.drain.state import LONGEST_REASON, LONGEST_SECONDS
from fortyninety.problem import Problem

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fortyninety.fleet.draining import BoxState, Fleet
    from fortyninety.fleet.inventory import ConnectedHosts
    from fortyninety.settings.model import Settings

BOXES = click.argument("boxes", nargs=-1, required=True, metavar="HOST_OR_GROUP...")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[int]):
    """A number of seconds, minutes or hours, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The seconds of "90s", "30m" or "2h"."""
        found = re.fullmatch(r"([0-9]{1,5})([smh])", str(value), re.ASCII)
        seconds = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 1 <= seconds <= LONGEST_SECONDS:
            self.fail(f"{value!r:.50}; expected such as 90s, 30m or 2h, at most 24h", param, ctx)
        return seconds


@click.command()
@INVENTORY
@BOXES
@click.option("--reason", required=True, help="Why, in a line; whoever finds the box reads it.")
@click.option(
    *("--for", "seconds"),
    type=Duration(),
    default="30m",
    show_default=True,
    metavar="TIME",
    help="It serves again by itself after it.",
)
@click.option(
    "--wait",
    type=click.IntRange(0, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="For what is under way.",
)
@click.option("--force", is_flag=True, help="Also the last boxes that a front has.")
@AS_JSON
def drain(  # noqa: PLR0917 (click gives them by name)
    inventory: str,
    boxes: tuple[str, ...],
    reason: str,
    seconds: int,
    wait: int,
    force: bool,
    as_json: bool,
) -> None:
    """Keep boxes from anything new, and wait for what is under way.

    Fronts send their requests to other boxes; a box's own clients wait, for as long as over a
    restart of its engine. It lasts over reloads, restarts and reboots, until the time is up or
    `fortyninety undrain`. A deploy leaves it so. Another drain of the same box sets time and reason
    anew. Refused where no box would be left to a front that serves the same model.

    Ends with 0 where nothing is under way any more, 1 where something is or a box could not be
    drained, 2 where a host could not be reached.

    \b
    Examples:
      fortyninety drain inventory/prod.py gpu-box-1 --reason "new fans"
      fortyninety drain inventory/prod.py gpu-box-1 --reason "new fans" --for 2h --wait 300
      fortyninety drain inventory/prod.py two_cards --reason "moved" --json
    """
    said = reason.strip()
    if not said or not said.isprintable() or len(said) > LONGEST_REASON:
        raise click.UsageError(
            f"--reason is none; expected a line of 1 to {LONGEST_REASON} printable characters"
        )
    from fortyninety.fleet import draining  # noqa: PLC0415

    def say(state: BoxState, passed: float) -> None:
        if not as_json:
            click.echo(f"{state.host}: {passed:.0f} s, {state.under_way}", err=True)

    def do(host: Host, settings: Settings) -> BoxState:
        return draining.drain(host, settings, reason=said, seconds=seconds, wait=wait, say=say)

    fleet = _fleet(inventory, boxes)
    if not force and (refused := _the_last(inventory, fleet)):
        _end([], refused, as_json=as_json, unreached=())
    with connected_hosts(inventory, boxes) as connected:
        without = _without_gateway(connected, fleet)
        states = list(on_each_host(connected, do).values())
    _end(states, [*connected.problems, *without], as_json=as_json, unreached=connected.problems)


@click.command()
@INVENTORY
@BOXES
@AS_JSON
def undrain(inventory: str, boxes: tuple[str, ...], as_json: bool) -> None:
    """Have drained boxes serve again, whoever drained them.

    Ends with 0 where each takes requests, 1 where one does not, 2 where a host could not be
    reached.

    \b
    Examples:
      fortyninety undrain inventory/prod.py gpu-box-1
      fortyninety undrain inventory/prod.py two_cards --json
    """
    from fortyninety.fleet import draining  # noqa: PLC0415

    fleet = _fleet(inventory, boxes)
    with connected_hosts(inventory, boxes) as connected:
        without = _without_gateway(connected, fleet)
        states = list(on_each_host(connected, draining.undrain).values())
    _end(
        states,
        [*connected.problems, *without],
        as_json=as_json,
        unreached=connected.problems,
        busy_is_well=True,
    )


def _fleet(inventory: str, boxes: Iterable[str]) -> Fleet:
    """What the settings say. Raises NoAnswer."""
    from fortyninety.fleet.draining import read_fleet  # noqa: PLC0415
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.limit import MatchesNothing  # noqa: PLC0415

    try:
        return read_fleet(inventory, boxes)
    except (InventoryUnusable, MatchesNothing) as unusable:
        raise NoAnswer(str(unusable)) from unusable


def _the_last(inventory: str, fleet: Fleet) -> list[Problem]:
    """A problem for each model of which a front would have no box left that takes requests."""
    from fortyninety.fleet.draining import state_of  # noqa: PLC0415

    found = []
    for model, others in fleet.others().items():
        states: list[BoxState] = []
        if others:
            with connected_hosts(inventory, others) as connected:
                states = list(on_each_host(connected, state_of).values())
        if any(each.error is None and each.drained is None for each in states):
            continue
        found.append(
            Problem(
                host=", ".join(sorted(fleet.named)),
                subject=model,
                found="the last box that a front has for it: nothing was drained",
                expected=f"another that takes requests ({', '.join(others) or 'there is none'})",
                remedy="`fortyninety undrain` another, or --force",
            )
        )
    return found


def _without_gateway(connected: ConnectedHosts, fleet: Fleet) -> list[Problem]:
    """Leave out the hosts that let nobody in, each with why."""
    from fortyninety.fleet.draining import lets_in  # noqa: PLC0415

    found = []
    for host, settings in list(connected.settings.items()):
        if lets_in(settings, fronts=fleet.has_fronts):
            continue
        del connected.settings[host]
        found.append(
            Problem(
                host=host.name,
                subject="gateway",
                found="none there, so that there is nothing to drain",
                expected="gateway = True, or a front",
                remedy="See docs/drain.md",
            )
        )
    return found


def _end(
    states: Sequence[BoxState],
    problems: Sequence[Problem],
    *,
    as_json: bool,
    unreached: Sequence[Problem],
    busy_is_well: bool = False,
) -> None:
    """Print what came of it, and exit."""
    unwell = (each.error is not None or (each.is_busy and not busy_is_well) for each in states)
    code = NO if any(unwell) or problems else DONE
    if unreached:
        code = NO_ANSWER
    if as_json:
        print_envelope(code, {"hosts": [_page(each) for each in states]}, problems)
    else:
        print_lines(_lines(states), problems)
    sys.exit(code)


def _page(state: BoxState) -> dict[str, Any]:
    values = asdict(state)
    is_open = values.pop("under_way")
    return {**values, "open": is_open}


def _lines(states: Iterable[BoxState]) -> Iterator[str]:
    for each in states:
        yield f"{each.host}: {_line(each)}"


def _line(state: BoxState) -> str:
    if state.error is not None:
        return f"{click.style('not done', fg='red')}: {state.error}"
    if state.drained is None:
        return "takes requests"
    until = datetime.fromtimestamp(state.drained.until, UTC).strftime("%Y-%m-%d %H:%M:%S")
    left = "nothing is under way"
    if state.is_busy:
        left = click.style(f"still {state.under_way}", fg="yellow")
    follows = "" if state.in_force else "; its gateway does not run, and begins so"
    return f"drained until {until} UTC; {left}{follows}"
