"""Who comes while the first one still makes it gets the same, complete or not at all."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import AsyncResult, Event

from fortyninety.once import made_once


def test_who_comes_in_the_middle_waits_for_all_of_it() -> None:
    results: dict[str, AsyncResult] = {}
    half, whole = Event(), Event()

    def make() -> list[str]:
        made = ["half"]
        half.set()
        whole.wait()
        return [*made, "whole"]

    callers = [gevent.spawn(made_once, results, "key", make) for _ in range(3)]
    half.wait()
    gevent.idle()
    assert not any(caller.ready() for caller in callers)
    whole.set()
    first, *others = (caller.get(timeout=60) for caller in callers)
    assert first == ["half", "whole"]
    assert all(other is first for other in others)
    assert made_once(results, "another key", lambda: ["other"]) == ["other"]


def test_all_get_the_reason_where_it_cannot_be_made() -> None:
    results: dict[str, AsyncResult] = {}

    def make() -> None:
        gevent.idle()
        raise ValueError("the host is gone")

    callers = [gevent.spawn(made_once, results, "key", make) for _ in range(2)]
    gevent.joinall(callers)
    assert [str(caller.exception) for caller in callers] == ["the host is gone"] * 2
    with pytest.raises(ValueError, match="the host is gone"):
        made_once(results, "key", lambda: None)
