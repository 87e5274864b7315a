"""Ask systemd and the journal about a unit, within bounds, and sort what they say by start."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fortyninety.on_host.engine_failure.lines import LONGEST_LINE

# Bounds on what is read from the journal, whose newest entries come first.
MOST_ENTRIES = 20_000
MOST_BYTES = 64 * 1024 * 1024
# Seconds that systemctl or journalctl may take.
PATIENCE = 60

# What messages of systemd are about, by their MESSAGE_ID. Source: systemd's sd-messages.h.
EXITED = "98e322203f7a4ed290d09fe03c09fe15"
FAILED_WITH_RESULT = "d9b373ed55a64feb8242e02dbe79a49c"
DEACTIVATED = "7ad2d189f7e94e70a38c781354912448"
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
FAILED_TO_EXECUTE = "641257651c1b4ec9a8624d7a40a9e1e7"
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
ENDINGS = (EXITED, FAILED_WITH_RESULT, DEACTIVATED)
# systemd's number of a start.
INVOCATION = re.compile(r"[0-9a-f]{32}")


class Unreadable(Exception):
    """Why systemd or the journal cannot be asked."""


@dataclass(frozen=True)
class Entry:
    """A message of the journal: `time` in seconds since 1970, and the fields of systemd's own."""

    text: str
    time: float
    message_id: str
    exit_code: str
    exit_status: str
    result: str


@dataclass
class Start:
    """What the journal has of one start (systemd's invocation) of the unit, oldest first."""

    invocation: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether systemd says that it ended."""
        return any(entry.message_id in ENDINGS for entry in self.entries)

    @property
    def ended_at(self) -> float:
        """When its latest entry was written."""
        return self.entries[-1].time if self.entries else 0.0


def run(*command: str) -> str:
    """Return a program's output. Raises Unreadable with what it says where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unreadable(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[:LONGEST_LINE]
        raise Unreadable(f"{command[0]} ends with {done.returncode}: {said or 'it says nothing'}")
    return done.stdout.decode(errors="replace")


def unit_properties(unit: str) -> dict[str, str]:
    """Return what systemd says of the unit. Raises Unreadable."""
    names = "ActiveState,SubState,InvocationID,Result,NRestarts"
    shown = run("systemctl", "show", f"--property={names}", unit)
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def journal(*matches: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of this boot's journal, the newest first, within the bounds.

    One whose line is no JSON object is left out. Ends early where journalctl does.
    """
    command = [
        *("journalctl", "--boot", "--quiet", "--no-pager", "--all", "--reverse", "--output=json"),
        *(f"--lines={MOST_ENTRIES}", *matches),
    ]
    try:
        reading = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return
    assert reading.stdout is not None
    left = MOST_BYTES
    try:
        for _ in range(MOST_ENTRIES):
            line = reading.stdout.readline(left)
            left -= len(line)
            if not line or left <= 0:
                break
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found
    finally:
        reading.kill()
        reading.stdout.close()
        reading.wait()


def message(found: dict[str, Any]) -> str:
    """Return an entry's text; the journal gives one with control characters as its bytes."""
    text = found.get("MESSAGE")
    if isinstance(text, list):
        # A field that was given twice is a list of texts.
        if all(isinstance(each, int) and 0 <= each < 256 for each in text):
            return bytes(text).decode(errors="replace")
        text = text[0] if text else ""
    return text if isinstance(text, str) else ""


def written_at(found: dict[str, Any]) -> float:
    """Return when an entry was written, in seconds since 1970; 0 where it does not say."""
    microseconds = str(found.get("__REALTIME_TIMESTAMP", ""))
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0


def starts(found: Iterable[dict[str, Any]]) -> list[Start]:
    """Sort entries, the newest first, into the unit's starts, the oldest first."""
    by_invocation: dict[str, Start] = {}
    for each in found:
        # What systemd itself says of a unit has the start's id under another name. Any process may
        # give an entry these names, but not those with an underscore, which journald gives.
        trusted = each.get("_PID") == "1"
        invocation = (trusted and each.get("INVOCATION_ID")) or each.get("_SYSTEMD_INVOCATION_ID")
        if not isinstance(invocation, str) or not INVOCATION.fullmatch(invocation):
            continue
        fields = {
            name: value if isinstance(value := each.get(name), str) else ""
            for name in ("MESSAGE_ID", "EXIT_CODE", "EXIT_STATUS", "UNIT_RESULT")
        }
        # The process that could not become the engine says so itself.
        if not trusted and fields["MESSAGE_ID"] != FAILED_TO_EXECUTE:
            fields = dict.fromkeys(fields, "")
        start = by_invocation.setdefault(invocation, Start(invocation))
        start.entries.append(Entry(message(each), written_at(each), *fields.values()))
    for start in by_invocation.values():
        start.entries.reverse()
    return list(reversed(by_invocation.values()))
