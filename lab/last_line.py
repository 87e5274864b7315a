"""The last line that a program wrote into a log, fit to be shown while it works."""

from __future__ import annotations

import re
from pathlib import Path

# A compiler's command line in make's log has some 3,000 characters.
_TAIL_BYTES = 8000
_SOURCE = re.compile(r"([\w-]+\.c)\b")
_LINE_LENGTH = 200
# What dpkg and the engine write before the message itself: process, level, time, source line.
_PREFIX = re.compile(
    r"^(\(\w+ pid=\d+\) )?([A-Z]+ )?(\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d (\[\S+:\d+\] )?"
)


def last_line(log: Path) -> str:
    """Return the last line of a log that says something; nothing where there is none."""
    return printable_line(_tail(log))


def last_lines(log: Path, count: int = 10) -> list[str]:
    """Return the last lines of a log that are not empty, as many as there are up to a number."""
    lines = _tail(log).decode(errors="replace").splitlines()
    shown = (_printable(line)[:_LINE_LENGTH] for line in lines)
    return [line for line in shown if line][-count:]


def printable_line(content: bytes) -> str:
    """Return the last line that says something, without what would move a terminal's cursor."""
    for line in reversed(content.decode(errors="replace").splitlines()):
        shown = _printable(line)
        sources = _SOURCE.findall(shown) if len(shown) > _LINE_LENGTH else []
        if sources:
            return f"compiling {sources[-1]}"
        if any(character.isalnum() for character in shown):
            return _PREFIX.sub("", shown)[:_LINE_LENGTH]
    return ""


def _tail(log: Path) -> bytes:
    """The end of a log; nothing where there is none."""
    try:
        with log.open("rb") as content:
            content.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return content.read()
    except OSError:
        return b""


def _printable(line: str) -> str:
    return "".join(character for character in line if character.isprintable()).strip()
