"""What is wrong before a run, said all at once: one line a problem, naming host, key and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

import click
from pyinfra import logger
from pyinfra.api.exceptions import DeployError
from pyinfra_cli.exceptions import CliError


@dataclass(frozen=True)
class Problem:
    """One reason to refuse a run.

    `subject` is the setting or the part of the host it is about, `found` what it is now, `allowed`
    what would be accepted, and `remedy` what the operator can do (may be empty where the allowed
    values say it).
    """

    host: str
    subject: str
    found: str
    allowed: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.host}: {self.subject} is {self.found}; expected {self.allowed}"
        return f"{line}. {self.remedy}" if self.remedy else line


class Refused(CliError, DeployError):  # type: ignore[misc]  # pyinfra_cli has no types
    """Raised before the first change, with every problem found on every host of the run.

    A CliError as well, because pyinfra's command line shows those as they are, without the file
    and line at which they were raised.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        reasons = "\n".join(f"    - {problem}" for problem in self.problems)
        super().__init__(
            f"nothing was changed on any host, for {count} reason{'' if count == 1 else 's'}:\n"
            f"{reasons}"
        )

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as pyinfra prints its own errors: on standard error, coloured on a terminal."""
        logger.warning(f"--> {click.style('Refused', 'red', bold=True)}: {self.message}")
