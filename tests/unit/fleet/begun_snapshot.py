"""A snapshot that is begun ahead and waited for later; run by test_begun_snapshot.py."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent

# First of all: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from gevent.event import Event

from fortyninety.connection.doing import doing, doing_now
from fortyninety.fleet import snapshot
from fortyninety.model.steps import LOCAL, StepFailed


class Fetch:
    """An exchange whose bytes come when a test says so."""

    size = 10**9

    def __init__(self) -> None:
        self.arrive = Event()
        self.failure: Exception | None = None
        self.asked = 0
        self.named = ""

    def supply(self, member: Any, folders: Any, *, empty: bool) -> None:
        del member, folders, empty
        self.asked += 1
        self.named = doing_now(HOST, "sleep 60")
        self.arrive.wait()
        if self.failure is not None:
            raise self.failure


class Keyed(SimpleNamespace):
    """What is a key, as pyinfra's runs and hosts are."""

    __hash__ = object.__hash__


RUN: Any = Keyed(get_op_meta=lambda of: SimpleNamespace(names={"Driver | Install"}))
HOST: Any = Keyed(
    name="box1", print_prefix="[box1] ", state=RUN, executing_op_hash="op", current_op_hash=None
)


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fetch]:
    """One host of a run, whose snapshot is on no disk yet."""
    made = Fetch()
    settings = SimpleNamespace(model_repository="some/model", model_revision="a" * 40)
    plan = SimpleNamespace(settings=settings)
    monkeypatch.setattr(snapshot, "plans_of", lambda run: {HOST: plan})
    monkeypatch.setattr(snapshot, "_exchange", lambda run, plan: made)
    monkeypatch.setattr(snapshot, "HostMember", lambda host, plan: None)
    monkeypatch.setattr(snapshot, "_folders", lambda plan: None)
    monkeypatch.setattr(snapshot, "_empty", lambda host, plan: True)
    monkeypatch.setattr(snapshot, "forget_reading", lambda host: None)
    yield made
    made.arrive.set()


def test_what_was_begun_goes_on_and_is_waited_for_once(fetch: Fetch) -> None:
    assert snapshot.begin(RUN, HOST)
    assert snapshot.is_under_way(HOST)
    waiting = gevent.spawn(snapshot.supply, RUN, HOST)
    gevent.sleep(0)
    gevent.sleep(0)
    assert fetch.asked == 1 and not waiting.dead
    fetch.arrive.set()
    assert waiting.get() is True
    assert not snapshot.is_under_way(HOST)
    assert fetch.asked == 1


def test_what_was_never_begun_is_brought_by_who_waits(fetch: Fetch) -> None:
    fetch.arrive.set()
    assert not snapshot.is_under_way(HOST)
    assert snapshot.supply(RUN, HOST) and fetch.asked == 1


def test_a_failure_is_said_by_who_waits_for_it_and_not_before(
    fetch: Fetch, caplog: pytest.LogCaptureFixture
) -> None:
    fetch.failure = StepFailed(LOCAL, "no room on the disk")
    fetch.arrive.set()
    with caplog.at_level(logging.ERROR, logger="pyinfra"):
        assert snapshot.begin(RUN, HOST)
        # A reboot waits as well, and is nobody to fail for it.
        assert snapshot.wait_for_begun(RUN, HOST)
        assert caplog.text == "" and snapshot.is_under_way(HOST)
        assert snapshot.supply(RUN, HOST) is False
    assert "[box1] some/model: no room on the disk" in caplog.text
    assert fetch.asked == 1
    # The next one tries again.
    fetch.failure = None
    assert snapshot.supply(RUN, HOST)


def test_what_goes_on_beside_an_operation_has_a_name_of_its_own(fetch: Fetch) -> None:
    fetch.arrive.set()
    assert snapshot.begin(RUN, HOST) and snapshot.supply(RUN, HOST)
    assert fetch.named == "the snapshot's fetch"
    assert doing_now(HOST, "sleep 60") == "`Driver | Install`"
    with doing("a look"):
        assert doing_now(HOST, "sleep 60") == "a look"
        assert gevent.spawn(doing_now, HOST, "sleep 60").get() == "`Driver | Install`"
    assert doing_now(HOST, "sleep 60") == "`Driver | Install`"
