"""How the driver's errors are counted: each once, and nobody else's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fortyninety.on_host.signals.xids import count_lines

# Lines of the driver, as NVIDIA's table of Xid errors and reports of its users have them.
FALLEN = "NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off"
FAULT = "NVRM: Xid (PCI:0000:02:00): 31, pid=1234, name=python, Ch 00000008, intr 10000000."


def entry(message: object, cursor: str = "s=1;i=1", moment: object = "1700000000000000") -> str:
    return json.dumps(
        {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": moment, "MESSAGE": message, "_BOOT_ID": "x"}
    )


def counted(*lines: str) -> tuple[dict[str, Any], dict[str, list[float]]]:
    state: dict[str, Any] = {}
    counts: dict[str, list[float]] = {}
    count_lines("\n".join(lines), state, counts)
    return state, counts


def test_each_is_counted_by_card_and_number_with_its_latest() -> None:
    later = "1700000009500000"
    state, counts = counted(entry(FAULT), entry(FALLEN), entry(FAULT, "s=1;i=3", later))
    assert counts == {
        "0000:02:00 31": [2, 1700000009.5],
        "0000:01:00 79": [1, 1700000000.0],
    }
    assert state == {"cursor": "s=1;i=3"}


@pytest.mark.parametrize(
    "message",
    [
        f"traps: {FALLEN}",
        f"python[12]: {FALLEN}",
        'NVRM: Xid (PCI:x"y): 79, pid=1',
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module",
        # What is no text comes as a list of bytes, and what is too long as nothing.
        [78, 86, 82, 77],
        None,
    ],
)
def test_what_is_none_is_none(message: object) -> None:
    state, counts = counted(entry(message))
    assert counts == {} and state["cursor"] == "s=1;i=1"


def test_what_has_no_form_is_left_out() -> None:
    evil = entry("x", "--file=/etc/shadow s")
    state, counts = counted("", "[]", "{", "7", evil, entry(FALLEN, moment=-1))
    assert counts == {"0000:01:00 79": [1, 0.0]} and state == {"cursor": "s=1;i=1"}


def test_many_kinds_are_not_kept_for_ever() -> None:
    lines = (entry(f"NVRM: Xid (PCI:0000:01:00): {number}, x") for number in range(2000))
    _, counts = counted(*lines, entry("NVRM: Xid (PCI:0000:01:00): 0, x"))
    assert len(counts) == 500 and counts["0000:01:00 0"][0] == 2
