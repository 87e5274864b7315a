"""`fortyninety doctor`: whether hosts are ready for a deploy, step by step."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.waiting import waiting
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from fortyninety.fleet.doctor import Check, Examined

# Of each state: the mark, the mark where the output is not UTF-8, the colour.
_MARKS = {
    "ok": ("\N{CHECK MARK}", "ok", "green"),
    "wrong": ("\N{BALLOT X}", "!!", "red"),
    "not tried": ("\N{MIDDLE DOT}", "--", None),
}
_WIDTH = len("host key")


@click.command()
@INVENTORY
@LIMIT
@AS_JSON
def doctor(inventory: str, limit: tuple[str, ...], as_json: bool) -> None:
    """Show whether hosts are ready for a deploy, changing nothing.

    Step by step from the name to the cards: what is wrong is said with the line that mends it, what
    was not tried with the step that it needs. The package index and the model's source are asked
    from the hosts themselves.

    Ends with 0 where all is right, 1 where something is to mend, 2 where a host could not be
    reached.

    \b
    Examples:
      fortyninety doctor inventory/prod.py
      fortyninety doctor inventory/prod.py --limit gpu-box-2
      fortyninety doctor inventory/prod.py --json | jq -r '.problems[].remedy'
    """
    examined = examined_hosts(inventory, limit)
    code = doctor_exit_code(examined)
    if as_json:
        problems = [problem for each in examined for problem in each.problems]
        print_envelope(code, {"hosts": [examined_values(each) for each in examined]}, problems)
    else:
        print_examined(examined)
    sys.exit(code)


def examined_hosts(inventory: str, limit: Sequence[str] = ()) -> list[Examined]:
    """What was found on each host. Raises NoAnswer where the inventory cannot be used."""
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.doctor import examine  # noqa: PLC0415
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415

    try:
        with waiting(f"examining the hosts of {inventory}"):
            return examine(inventory, limit)
    except InventoryUnusable as unusable:
        raise NoAnswer(str(unusable)) from unusable


def doctor_exit_code(examined: Sequence[Examined]) -> int:
    """The worst of the hosts: 2 where one was not reached, 1 where something is wrong, or 0."""
    if not all(each.reached for each in examined):
        return NO_ANSWER
    return NO if any(each.problems for each in examined) else DONE


def print_examined(examined: Sequence[Examined]) -> None:
    """Print a line for each step of each host, and what mends what is wrong."""
    for each in examined:
        click.secho(printable(each.host), bold=True)
        tried = [check for check in each.checks if check.state != "not tried"]
        for check in tried:
            for line in _lines(check):
                click.echo(f"  {line}")
        left = [check for check in each.checks if check.state == "not tried"]
        if left:
            steps = ", ".join(check.step for check in left)
            text = f"not tried {left[0].said}: {steps}"
            indent = " " * (_WIDTH + 6)
            lines = textwrap.fill(text, 79, initial_indent=indent, subsequent_indent=indent)
            click.echo(f"  {_mark('not tried')}{lines[3:]}")


def _mark(state: str) -> str:
    mark, words, colour = _MARKS[state]
    return click.style(mark if _is_utf_8() else words, fg=colour)


def _is_utf_8() -> bool:
    return (sys.stdout.encoding or "").lower().startswith("utf")


def _lines(check: Check) -> Iterator[str]:
    begin = f"{_mark(check.state)} {check.step:<{_WIDTH}}"
    if not check.problems:
        yield f"{begin}  {printable(check.said)}"
    for problem in check.problems:
        text = f"{problem.subject} is {problem.found}; expected {problem.expected}"
        yield f"{begin}  {printable(text)}"
        if problem.remedy:
            arrow = "\N{RIGHTWARDS ARROW}" if _is_utf_8() else "->"
            yield f"{'':<{_WIDTH + 2}}  {arrow} {printable(problem.remedy)}"


def examined_values(examined: Examined) -> dict[str, object]:
    """What was found on a host, as `--json` has it."""
    return {
        "host": examined.host,
        "reached": examined.reached,
        "checks": [
            {"step": check.step, "state": check.state, "said": printable(check.said)}
            for check in examined.checks
        ],
    }
