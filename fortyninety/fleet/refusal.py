"""Refuse a run with every problem at once, before the first change.

Only for pyinfra's command line to import: its own errors come with a patched standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, Any

import click
from pyinfra import logger
from pyinfra.api.exceptions import DeployError
from pyinfra_cli.exceptions import CliError

from fortyninety.problem import Problem, problem_lines


class Refused(CliError, DeployError):  # type: ignore[misc]  # pyinfra_cli has no types
    """Raised before the first change, with every problem found on every host of the run.

    A CliError as well, because pyinfra's command line shows those as they are, without the file
    and line at which they were raised.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        reasons = "\n".join(problem_lines(self.problems))
        super().__init__(
            f"nothing was changed on any host, for {count} reason{'' if count == 1 else 's'}:\n"
            f"{reasons}"
        )

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as pyinfra prints its own errors: on standard error, coloured on a terminal."""
        logger.warning(f"--> {click.style('Refused', 'red', bold=True)}: {self.message}")
