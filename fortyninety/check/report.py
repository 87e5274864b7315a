"""Report the results of the host tests, to people and to programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import click

from fortyninety.text.printable import printable

# The area whose failures mean that a host could not be checked, not that something is wrong.
REACH = "reach"
# In the order of a deploy's stages.
AREAS = (
    *(REACH, "driver", "driver_kept", "cuda", "python", "engine", "snapshot", "power", "service"),
    *("sandbox", "serving", "tenants", "cell", "gateway", "fronted", "front", "firewall"),
    *("address", "signals"),
    *("network", "secrets", "system"),
)
WIDTH = 80
# Characters of a message that are printed; --json has all of it.
LONGEST = 1500
_AREA_WIDTH = 12
_CELL_WIDTH = 11


@dataclass(frozen=True)
class Result:
    """One test of one host. `outcome` is "passed", "failed" or "skipped".

    `meaning` is what goes wrong for the user when it fails, `message` what was found, what was
    expected and what to do (or why it was skipped); `seconds` is how long it took. `read_at`: when
    its files were read, in seconds since 1970, where nothing wrote to them since and they were not
    read again.
    """

    host: str
    area: str
    test: str
    outcome: str
    meaning: str
    message: str
    seconds: float
    read_at: float | None = None

    def to_line(self) -> str:
        """The result as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Result:
        """The result of a line, fit for a terminal. Raises ValueError or TypeError for another."""
        result = cls(**json.loads(line))
        return replace(
            result,
            test=printable(result.test),
            message=printable(result.message, len(result.message), keep="\n"),
        )


def exit_code(results: Sequence[Result]) -> int:
    """0 where every host is right, 1 where something is wrong, 2 where a host was not checked.

    2 takes precedence: the state of a host that was not checked is unknown.
    """
    failed = [each for each in results if each.outcome == "failed"]
    if not results or any(each.area == REACH for each in failed):
        return 2
    return 1 if failed else 0


def table(results: Sequence[Result]) -> str:
    """Areas by hosts, with the number of tests that passed, failed or were skipped; 80 columns."""
    hosts = sorted({each.host for each in results}, key=_naturally)
    found = {each.area for each in results}
    areas = [each for each in AREAS if each in found] + sorted(found - set(AREAS))
    per_block = (WIDTH - _AREA_WIDTH) // _CELL_WIDTH
    lines: list[str] = []
    for start in range(0, len(hosts), per_block):
        block = hosts[start : start + per_block]
        lines += [""] if lines else []
        head = "".join(f" {_shortened(host):>{_CELL_WIDTH - 1}}" for host in block)
        lines.append(f"{'':{_AREA_WIDTH}}{head}")
        for area in areas:
            cells = "".join(_cell(results, host, area) for host in block)
            lines.append(f"{area:{_AREA_WIDTH}}{cells}".rstrip())
    return "\n".join(lines)


def _naturally(name: str) -> list[tuple[int, str]]:
    """A sort key by which box 10 comes after box 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _shortened(host: str) -> str:
    room = _CELL_WIDTH - 1
    return host if len(host) <= room else f"{host[: room - 3]}..{host[-1]}"


def _cell(results: Sequence[Result], host: str, area: str) -> str:
    own = [each.outcome for each in results if each.host == host and each.area == area]
    failed, skipped = own.count("failed"), own.count("skipped")
    colour: str | None = None
    if failed:
        text, colour = f"{failed} failed", "red"
    elif not own:
        text = "-"
    elif skipped == len(own):
        text, colour = f"{skipped} skip", "yellow"
    else:
        text = f"{len(own) - skipped}+{skipped} skip" if skipped else f"{len(own)}"
    return click.style(f"{text:>{_CELL_WIDTH}}", fg=colour)


def findings(results: Iterable[Result]) -> str:
    """Every failure once; tests and hosts with the same message are grouped under the first."""
    grouped: dict[str, list[Result]] = {}
    for each in results:
        if each.outcome == "failed":
            grouped.setdefault(each.message, []).append(each)
    lines: list[str] = []
    for message, group in grouped.items():
        first = group[0]
        hosts = sorted({each.host for each in group}, key=_naturally)
        tests = len({each.test for each in group})
        more = f" (and {tests - 1} more for this reason)" if tests > 1 else ""
        lines.append(f"{click.style(', '.join(hosts), bold=True)}: {_sentence(first.test)}{more}")
        lines += [f"    {line}" for line in _cut(message).splitlines()]
        lines.append(click.style(f"    {first.meaning}", dim=True))
    return "\n".join(lines)


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[:LONGEST]} ... (--json has the rest)"


def _sentence(test: str) -> str:
    return f"FAILED: {test.removeprefix('test_').replace('_', ' ')}"


def summary(results: Sequence[Result]) -> str:
    """One line: how many hosts, how many tests, and how they ended."""
    hosts = len({each.host for each in results})
    outcomes = [each.outcome for each in results]
    return (
        f"{hosts} host{'s' * (hosts != 1)}: {outcomes.count('passed')} passed, "
        f"{outcomes.count('failed')} failed, {outcomes.count('skipped')} skipped"
    )


def not_read_again(results: Sequence[Result]) -> str:
    """Two lines on what was read before and not now, since nothing wrote to it; empty for none."""
    before = [each for each in results if each.read_at is not None]
    if not before:
        return ""
    first = datetime.fromtimestamp(min(each.read_at or 0 for each in before)).astimezone()
    areas = {each.area for each in before}
    return (
        f"files of {', '.join(each for each in AREAS if each in areas)}: not read again,\n"
        f"since nobody wrote to them after {first:%d %b %H:%M} or later; --read-all does"
    )
