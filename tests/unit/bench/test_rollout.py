"""What a rollout cost, by what it says itself and what its client wrote down."""

from __future__ import annotations

from typing import Any

from bench.load import Asked
from bench.rollout import account, out_of_rotation


def asked(at: float, first: float | None, *, streamed: bool = True, status: int = 200) -> Asked:
    return Asked(at, streamed, status, first, (first or 0.0) + 1, status == 200, 32)


def event(time: float, name: str, **others: Any) -> dict[str, Any]:
    return {"time": time, "event": name, **others}


def test_a_box_is_out_from_its_drain_until_it_is_changed() -> None:
    events = [
        event(0, "preparing", units=["a", "b"]),
        event(10, "phase", unit="a", phase="draining"),
        event(12, "phase", unit="a", phase="changing"),
        event(30, "phase", unit="a", phase="gate"),
        event(45, "changed", unit="a"),
        event(60, "phase", unit="b", phase="changing"),
        event(65.5, "failed", unit="b", serves=True),
        event(70, "done", unit="a"),
        event(80, "phase", unit="c", phase="draining"),
    ]
    assert out_of_rotation(events) == {"a": 35.0, "b": 5.5}


def test_held_is_what_waited_longer_than_its_kind_before() -> None:
    before = [asked(0, 0.5), asked(2, 0.2), asked(0, 3.0, streamed=False)]
    during = [
        asked(10, 0.4),
        asked(10, 7.0),
        asked(12, 2.5, streamed=False),
        asked(12, 3.5, streamed=False),
        asked(13, None, status=503),
    ]
    found = account({"seconds": 90.0, "events": []}, [*before, *during], began=9.0)
    assert (found["held"], found["longest_wait"]) == (3, 7.0)
    assert (found["requests"]["requests"], found["requests"]["failed"]) == (8, 1)
