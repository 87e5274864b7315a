"""Say in one line of JSON what changed a host, for its journal, and read such lines.

What a host says is untrusted: each line has a form, and one of another form is no entry.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fortyninety.checkout import PACKAGE
from fortyninety.facts.answers import number_of, read_object, text_of, texts_of
from fortyninety.plan.paths import SERVICE, SERVICE_UNIT
from fortyninety.survey.records import CONFIGURATION, ENVIRONMENT, Unreadable, quoted
from fortyninety.text.printable import printable

IDENTIFIER = "fortyninety-history"
RESULTS = ("done", "failed", "cut")

LONGEST_REASON = 600
LONGEST_NAME = 60
MOST_STAGES = 30
# In the year 9999.
LATEST = 253_000_000_000

_NOTE = (PACKAGE / "on_host" / "note_change.sh").read_text()
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_WHO = re.compile(r"[\w.@+-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Served:
    """What served on a host: its environment's name and its configuration, "" for nothing."""

    engine: str = ""
    configuration: str = ""

    def __str__(self) -> str:
        if not self.configuration:
            return "nothing"
        release = self.engine.rpartition("-")[0]
        return f"{release or 'an engine'} {self.configuration}"


@dataclass(frozen=True)
class Project:
    """The project that a host was changed from: `commit` is "" and `changed` None without git."""

    version: str
    commit: str = ""
    changed: bool | None = None

    def __str__(self) -> str:
        if not self.commit:
            return self.version
        return f"{self.version}, commit {self.commit[:12]}{' and changes' * bool(self.changed)}"


@dataclass(frozen=True)
class Change:
    """What changed a host: which command, by whom, in which stages, and how it ended and why."""

    what: str
    who: str
    project: Project
    result: str
    why: str = ""
    stages: tuple[str, ...] = ()
    count: int = 0
    before: Served = Served()

    def note(self) -> str:
        """The shell command that writes it into the journal of the host that it runs on."""
        line = json.dumps(
            {
                "what": printable(self.what, LONGEST_NAME),
                "who": self.who,
                "version": printable(self.project.version, LONGEST_NAME),
                "commit": self.project.commit,
                "changed": self.project.changed,
                "stages": [printable(each, LONGEST_NAME) for each in self.stages[:MOST_STAGES]],
                "count": self.count,
                "result": self.result,
                "why": printable(self.why, LONGEST_REASON),
                "before": {
                    "engine": self.before.engine,
                    "configuration": self.before.configuration,
                },
            }
        )
        values = {"change": line.removesuffix("}"), "service": SERVICE, "unit": SERVICE_UNIT}
        head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
        return f"{head}\n{_NOTE}"


def noting(command: str, path: str, change: Change) -> str:
    """The shell command, and a line in the journal where it made another file of `path`."""
    content = f"$(cat {shlex.quote(path)} 2>/dev/null | sha256sum)"
    return (
        f'before={content}; {command} || exit\n[ "$before" = "{content}" ] || (\n{change.note()}\n)'
    )


@dataclass(frozen=True)
class Entry:
    """A change of a host as its journal has it, with when (since 1970, by its clock)."""

    at: int
    change: Change
    after: Served


@dataclass(frozen=True)
class History:
    """The changes of a host, the latest last, and how many lines are none."""

    entries: list[Entry] = field(default_factory=list)
    unreadable: int = 0


def question(limit: int, since: int | None) -> str:
    """The command that prints the latest entries of a host's journal, written by root alone."""
    begin = () if since is None else (f"--since=@{since}",)
    return shlex.join(
        (
            *("journalctl", "--quiet", "--no-pager", "--output=json"),
            *("--output-fields=MESSAGE", f"--lines={limit}", *begin),
            *(f"--identifier={IDENTIFIER}", "_UID=0"),
        )
    )


def read_history(lines: Iterable[str]) -> History:
    """The entries in the lines that the journal printed."""
    entries, unreadable = [], 0
    for line in lines:
        try:
            entries.append(_read_entry(line))
        except Unreadable:
            unreadable += 1
    return History(entries, unreadable)


def _read_entry(line: str) -> Entry:
    outer = read_object(line)
    moment = text_of(outer, "__REALTIME_TIMESTAMP") or ""
    if not (moment.isascii() and moment.isdecimal() and len(moment) <= 18):
        raise Unreadable(f"a moment {quoted(moment)}")
    message = outer.get("MESSAGE")
    if not isinstance(message, str):
        raise Unreadable("a message that is no text")
    found = read_object(message)
    change = Change(
        what=_bounded(found, "what", LONGEST_NAME),
        who=_matching(found, "who", _WHO),
        project=Project(
            _bounded(found, "version", LONGEST_NAME),
            _matching(found, "commit", _COMMIT, empty=True),
            _perhaps_true(found, "changed"),
        ),
        result=_matching(found, "result", re.compile("|".join(RESULTS))),
        why=_bounded(found, "why", LONGEST_REASON),
        stages=tuple(each[:LONGEST_NAME] for each in texts_of(found, "stages")[:MOST_STAGES]),
        count=number_of(found, "count"),
        before=_served(found, "before"),
    )
    return Entry(min(int(moment) // 1_000_000, LATEST), change, _served(found, "after"))


def _bounded(found: dict[str, Any], key: str, longest: int) -> str:
    return printable(text_of(found, key) or "", longest)


def _matching(
    found: dict[str, Any], key: str, pattern: re.Pattern[str], *, empty: bool = False
) -> str:
    text = text_of(found, key) or ""
    if not (pattern.fullmatch(text) or (empty and not text)):
        raise Unreadable(f"{key} {quoted(text)}")
    return text


def _perhaps_true(found: dict[str, Any], key: str) -> bool | None:
    value = found.get(key)
    if value is not None and not isinstance(value, bool):
        raise Unreadable(f"{key} {quoted(repr(value))}")
    return value


def _served(found: dict[str, Any], key: str) -> Served:
    served = found.get(key)
    if not isinstance(served, dict):
        raise Unreadable(f"{key} {quoted(repr(served))}")
    return Served(
        _matching(served, "engine", ENVIRONMENT.pattern, empty=True),
        _matching(served, "configuration", CONFIGURATION.pattern, empty=True),
    )
