"""Show how the boxes of an inventory are: `fortyninety status`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.waiting import waiting
from fortyninety.engine.status.state import UNREACHABLE, BoxStatus
from fortyninety.engine.status.table import LEAST_WIDTH, rows, summary
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from fortyninety.fleet.status import WatchedFleet

# Seconds for a look at all boxes, connections included; and for one of those that are watched,
# whose silent boxes are waited for in the background.
PATIENCE = 12.0
REFRESH = 1.0


@click.command()
@INVENTORY
@LIMIT
@click.option("--watch", is_flag=True, help="Look again and again; Ctrl-C ends.")
@click.option(
    "--interval",
    type=click.IntRange(1, 3600),
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@AS_JSON
def status(
    inventory: str, limit: tuple[str, ...], *, watch: bool, interval: int, as_json: bool
) -> None:
    """Show how the boxes are: a line each, changing nothing.

    Its state, engine and cards (memory, draw of the cap, the hottest), tokens per second, requests
    running and waiting, the used part of the KV cache and what the prefix cache had of prompts. A
    second line says why a box does not serve, or what is wrong with its cards. Each is asked by one
    command, and a silent one holds up no other.

    Ends with 0 where every box serves or is drained, 1 where one does not, 2 where one could not be
    reached.

    \b
    Examples:
      fortyninety status inventory/prod.py
      fortyninety status inventory/prod.py --watch
      fortyninety status inventory/prod.py --limit gpu-box-2 --json | jq .result.boxes
    """
    if watch and as_json:
        raise click.UsageError("give --watch or --json, not both")
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.quiet import errors_alone  # noqa: PLC0415
    from fortyninety.fleet.status import WatchedFleet  # noqa: PLC0415

    with errors_alone():
        try:
            fleet = (
                WatchedFleet(inventory, limit, interval=interval)
                if watch
                else WatchedFleet(inventory, limit, PATIENCE - 1)
            )
        except InventoryUnusable as unusable:
            raise NoAnswer(str(unusable)) from unusable
        try:
            if watch:
                _watch(fleet, interval)
            with waiting(f"asking the boxes of {inventory}"):
                boxes = fleet.look(PATIENCE)
        finally:
            fleet.close()
    code = _code(boxes, fleet.problems)
    if as_json:
        problems = [*fleet.problems, *_unreachable(boxes)]
        print_envelope(code, {"boxes": [_values(box) for box in boxes]}, problems)
    else:
        _print(boxes)
        for problem in fleet.problems:
            click.secho(str(problem), fg="red", err=True)
    sys.exit(code)


def _code(boxes: Sequence[BoxStatus], problems: Sequence[Problem]) -> int:
    if problems or any(box.state == UNREACHABLE for box in boxes):
        return NO_ANSWER
    return DONE if all(box.wanted for box in boxes) else NO


def _unreachable(boxes: Sequence[BoxStatus]) -> Iterator[Problem]:
    for box in boxes:
        if box.state == UNREACHABLE:
            yield Problem(host=box.name, subject="connection", found=box.why, expected="an answer")


def _print(boxes: Sequence[BoxStatus]) -> None:
    width = Console().width if sys.stdout.isatty() else LEAST_WIDTH
    for row in rows(boxes, width):
        click.secho(printable(row.text), fg=row.colour or None)
    click.echo(summary(boxes))


def _watch(fleet: WatchedFleet, interval: int) -> None:
    """Look until Ctrl-C; on no terminal each look is printed below the one before."""
    console = Console()
    if not console.is_terminal:
        while True:
            began = time.monotonic()
            boxes = fleet.look(REFRESH)
            click.echo(_now())
            _print(boxes)
            sys.stdout.flush()
            time.sleep(max(0.0, interval - (time.monotonic() - began)))
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            began = time.monotonic()
            boxes = fleet.look(REFRESH)
            live.update(_screen(boxes, console.width, fleet.problems), refresh=True)
            time.sleep(max(0.0, interval - (time.monotonic() - began)))


def _screen(boxes: Sequence[BoxStatus], width: int, problems: Sequence[Problem]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{_now()}  {summary(boxes)}\n", style="bold")
    for row in rows(boxes, width):
        text.append(f"{printable(row.text)}\n", style=row.colour)
    for problem in problems:
        text.append(f"{problem}\n", style="red")
    return text


def _now() -> str:
    return datetime.now().strftime("%H:%M:%S")


def _values(box: BoxStatus) -> dict[str, Any]:
    values = asdict(box)
    return {"host": values.pop("name"), **values}
