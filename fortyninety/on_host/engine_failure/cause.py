"""Say why one start ended, or how far it is."""

from __future__ import annotations

import re

from fortyninety.on_host.engine_failure.findings import (
    LOGGED,
    OUTER,
    PEER,
    RESULT,
    Findings,
)
from fortyninety.on_host.engine_failure.journal import (
    DEACTIVATED,
    OUT_OF_MEMORY,
    STOPPING,
    Start,
    journal,
    message,
    written_at,
)
from fortyninety.on_host.engine_failure.known import remedy_of
from fortyninety.on_host.engine_failure.lines import MOST_CHARACTERS, clean, one_line, unprefixed

KILLED_PROCESS = re.compile(r"Killed process (\d+) \((.+?)\).*?anon-rss:(\d+)kB")
KILLED_IN = re.compile(r"oom-kill:.*task_memcg=([^,]+),task=.*,pid=(\d+)")


def progress(start: Start) -> tuple[str, float] | None:
    """Return the latest line that the engine wrote and when, or None before its first."""
    for entry in reversed(start.entries):
        text = one_line(unprefixed(clean(entry.text[:MOST_CHARACTERS]))[2])
        if text and not entry.message_id:
            return text, entry.time
    return None


def killed_process(start: Start, unit: str) -> str | None:
    """Return which process of the unit the kernel killed for want of memory, or None."""
    first, last = start.entries[0].time - 5, start.ended_at + 5
    killed = None
    for each in journal("_TRANSPORT=kernel"):
        if not first <= written_at(each) <= last:
            continue
        text = message(each)
        # The kernel says in whose control group it was just before it says what it killed.
        if match := KILLED_PROCESS.search(text):
            killed = match
        elif (group := KILLED_IN.search(text)) and killed and group[2] == killed[1]:
            if group[1].endswith(f"/{unit}"):
                return (
                    f"the kernel killed {clean(killed[2])} (pid {killed[1]}), which held "
                    f"{int(killed[3]) / 1024:,.0f} MiB, for want of memory"
                )
            killed = None
    return None


def explained(start: Start, unit: str) -> str | None:
    """Return the cause of an ended start, or None where its lines say nothing."""
    findings = Findings()
    stopped = False
    for entry in start.entries:
        stopped |= entry.message_id == STOPPING
        # What an engine writes while it is stopped is no reason.
        if not stopped:
            findings.read(entry)
    best = findings.best()
    counted = any(
        entry.result == "oom-kill" or entry.message_id == OUT_OF_MEMORY for entry in start.entries
    )
    # Where systemd does not count it, only the kernel knows why a process was killed.
    silent = best is None or best.weight in (PEER, LOGGED, OUTER, RESULT)
    if counted or silent:
        if killed := killed_process(start, unit):
            return killed
        if counted:
            return "the kernel killed a process of the engine for want of memory"
    if stopped and (best is None or silent):
        return "systemd was asked to stop it"
    if best is None and any(entry.message_id == DEACTIVATED for entry in start.entries):
        return "the engine ended by itself with exit code 0 and logged no error"
    return None if best is None else best.text


def ended_alone(start: Start, unit: str) -> list[str]:
    """Return why a start ended, and what to do where that is known; [] where it was stopped."""
    if any(entry.message_id == STOPPING for entry in start.entries):
        return []
    cause = explained(start, unit) or "its log does not say why"
    remedy = remedy_of(cause)
    return [cause] if remedy is None else [cause, remedy]
