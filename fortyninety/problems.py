"""What is wrong before a run, said all at once: one line a problem, naming host, key and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api.exceptions import DeployError


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


class Refused(DeployError):
    """Raised before the first change, with every problem found on every host of the run."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        reasons = "\n".join(f"    - {problem}" for problem in self.problems)
        super().__init__(
            f"refused, nothing was changed on any host "
            f"({count} reason{'' if count == 1 else 's'}):\n{reasons}"
        )
