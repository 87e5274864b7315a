"""Refusing a run: every problem at once, before the first change.

Only for pyinfra's command line to import: its own errors come with a patched standard library.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import IO, Any

import click
from pyinfra import logger
from pyinfra.api.exceptions import DeployError
from pyinfra_cli.exceptions import CliError

from fortyninety.problems import Problem


class Refused(CliError, DeployError):  # type: ignore[misc]  # pyinfra_cli has no types
    """Raised before the first change, with every problem found on every host of the run.

    A CliError as well, because pyinfra's command line shows those as they are, without the file
    and line at which they were raised.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        reasons = "\n".join(_lines(self.problems))
        super().__init__(
            f"nothing was changed on any host, for {count} reason{'' if count == 1 else 's'}:\n"
            f"{reasons}"
        )

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as pyinfra prints its own errors: on standard error, coloured on a terminal."""
        logger.warning(f"--> {click.style('Refused', 'red', bold=True)}: {self.message}")


def _lines(problems: Iterable[Problem]) -> Iterator[str]:
    """A line for each problem; a table that several hosts share is shown under the first."""
    shown: dict[str, str] = {}
    for problem in problems:
        yield f"    - {problem}"
        if not problem.table:
            continue
        if (first := shown.setdefault(problem.table, problem.host)) != problem.host:
            yield f"      (as for {first})"
        else:
            yield textwrap.indent(problem.table, "      ")
