"""Print what `--json` prints: one object of one shape, whatever the command and however it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import click

from fortyninety.problem import Problem
from fortyninety.text.printable import printable

JSON_OPTION = "--json"


def print_envelope(
    exit_code: int,
    result: object = None,
    problems: Iterable[Problem | str] = (),
    *,
    command: str | None = None,
) -> None:
    """Print the one object on standard output.

    `result` is the command's own data, None where there is none; `problems` are why it, or a host
    of it, has no answer. `command` is the name of the command that runs where it is not given.
    """
    page = {
        "command": _running() if command is None else command,
        "exit_code": exit_code,
        "problems": [_values(each) for each in problems],
        "result": result,
    }
    click.echo(json.dumps(page, indent=2))


def _running() -> str:
    """The command that runs, without the program's name: "snapshot verify"."""
    context, names = click.get_current_context(), []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))


def command_of(group: click.Group, line: Sequence[str]) -> str:
    """The command that a line names, as far as it names one: "snapshot verify", or ""."""
    found: click.Command | None = group
    names: list[str] = []
    with click.Context(group) as context:
        for word in line:
            if not isinstance(found, click.Group):
                break
            if word.startswith("-"):
                # No group has an option with a value.
                continue
            try:
                found = found.get_command(context, word)
            except Exception:
                # It could not be loaded, which is what is to be said of it.
                return " ".join([*names, word])
            if found is not None:
                names.append(word)
    return " ".join(names)


def asks_for_json(line: Sequence[str]) -> bool:
    """Whether `--json` is on the line, also where the rest of it cannot be understood."""
    own = line[: line.index("--")] if "--" in line else line
    return JSON_OPTION in own


def _values(problem: Problem | str) -> dict[str, str]:
    if isinstance(problem, str):
        return {"message": problem}
    values = {
        "host": problem.host,
        "subject": problem.subject,
        "found": problem.found,
        "expected": problem.expected,
        "remedy": problem.remedy,
    }
    return {key: printable(value, len(value)) for key, value in values.items()}
