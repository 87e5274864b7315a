"""Hosts of an exchange that wait, fail, lie or fall silent: the others are not held up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from tests.unit.stub_members import StubFleet

HOSTS = 16


def test_only_its_own_order_wakes_a_host_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """They woke each other without end: 100 hosts used a core of the controller for nothing."""
    parts, wake_ups = 3, 0
    fleet = StubFleet(HOSTS, parts)
    fleet.on_first_fetch = lambda: time.sleep(0.3)
    wait = threading.Condition.wait

    def counted(condition: threading.Condition, timeout: float | None = None) -> bool:
        nonlocal wake_ups
        woken = wait(condition, timeout)
        wake_ups += 1
        return woken

    monkeypatch.setattr(threading.Condition, "wait", counted)
    for thread in fleet.start():
        thread.join()
    assert fleet.failed == {}
    # An order for each part, and what it takes to start and to end a thread or two.
    assert wake_ups <= HOSTS * (parts + 3)


# pyinfra's hosts are greenlets: the same there, where each turn of a greenlet is counted.
IN_GREENLETS = """
from gevent import monkey
monkey.patch_all()
import json, time
import greenlet
from tests.unit.stub_members import StubFleet

fleet, turns = StubFleet({hosts}), []

def hold():
    time.sleep(0.1)
    greenlet.settrace(lambda *event: turns.append(event[0]))
    time.sleep(0.3)
    greenlet.settrace(None)

fleet.on_first_fetch = hold
for thread in fleet.start():
    thread.join()
print(json.dumps([len(turns), fleet.failed]))
"""


def test_greenlets_that_wait_do_not_take_turns_either() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", IN_GREENLETS.format(hosts=HOSTS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    turns, failed = json.loads(ran.stdout)
    assert failed == {}
    assert turns <= HOSTS
