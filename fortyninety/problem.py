"""Report a problem before a run in one line: host, key, found, expected, remedy."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fortyninety.text.printable import printable, printable_message


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One reason to refuse a run.

    `subject` is the setting or the part of the host it is about, `found` what it is now, `expected`
    what would be accepted, and `remedy` what the operator can do (empty where `expected` says it).
    `table` is what the line cannot hold: shown below it, and once for all hosts.
    """

    host: str
    subject: str
    found: str
    expected: str
    remedy: str = ""
    table: str = ""

    def __str__(self) -> str:
        line = f"{self.host}: {self.subject} is {self.found}; expected {self.expected}"
        if self.remedy:
            line = f"{line}{'' if line.endswith('?') else '.'} {self.remedy}"
        return printable(line)


def problem_lines(problems: Iterable[Problem]) -> Iterator[str]:
    """A line for each problem; a table that several hosts share is shown under the first."""
    shown: dict[str, str] = {}
    for problem in problems:
        yield f"    - {problem}"
        if not problem.table:
            continue
        if (first := shown.setdefault(problem.table, problem.host)) != problem.host:
            yield f"      (as for {first})"
        else:
            yield textwrap.indent(printable_message(problem.table), "      ")
