"""Choose the start that is meant, and say what became of it: what a failed gate shows."""

from __future__ import annotations

from typing import Any

from fortyninety.on_host.engine_failure.cause import explained, progress
from fortyninety.on_host.engine_failure.journal import (
    FAILED_WITH_RESULT,
    Start,
    journal,
    starts,
    unit_properties,
)
from fortyninety.on_host.engine_failure.known import remedy_of


def diagnosis(unit: str, since: float) -> dict[str, Any]:
    """Return what is printed. Raises Unreadable where systemd cannot be asked."""
    shown = unit_properties(unit)
    current = shown.get("InvocationID", "")
    found = starts(journal(f"--unit={unit}"))
    over = shown.get("ActiveState") in ("failed", "inactive") or shown.get("SubState") in (
        "auto-restart",
        "auto-restart-queued",
    )
    ended = [
        each
        for each in found
        if (each.ended and each.invocation != current and each.ended_at >= since)
        or (each.invocation == current and over)
    ]
    notes = []
    if ended:
        # One that says why is worth more than a later one that does not.
        told = [(each, cause) for each in ended if (cause := explained(each, unit)) is not None]
        start, cause = told[-1] if told else (ended[-1], "the journal does not say why it ended")
        state = "ended"
        results = [e.result for e in start.entries if e.message_id == FAILED_WITH_RESULT]
        if results and results[-1] not in ("", "exit-code"):
            notes.append(f"systemd's result is {results[-1]}")
        if len(ended) > 1:
            notes.append(f"{len(ended)} starts have ended so far")
    else:
        state = "ended" if over else "running"
        start = next((each for each in found if each.invocation == current), Start(current))
        said = progress(start)
        if over:
            cause = f"the journal has nothing of it; systemd's result is {shown.get('Result')}"
        elif said is None:
            cause = "none yet"
        else:
            cause = said[0]
    return {
        "state": state,
        "cause": cause,
        "remedy": remedy_of(cause) if state == "ended" else None,
        "more": more(unit, start.invocation),
        "notes": notes[:2],
    }


def more(unit: str, invocation: str) -> str:
    """Return the command that prints all of one start: the engine's lines and systemd's."""
    if not invocation:
        return f"journalctl --boot --unit={unit}"
    return f"journalctl --boot _SYSTEMD_INVOCATION_ID={invocation} + INVOCATION_ID={invocation}"
