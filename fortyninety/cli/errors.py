"""End a command that has no answer, and say why."""

from __future__ import annotations

from collections.abc import Iterable

import click

from fortyninety.cli.exit_codes import NO_ANSWER
from fortyninety.problem import Problem


class NoAnswer(click.ClickException):
    """Why nothing was found out or done: one line, and a problem of each host that has one.

    An empty line is not shown where there are problems.
    """

    exit_code = NO_ANSWER

    def __init__(self, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)
