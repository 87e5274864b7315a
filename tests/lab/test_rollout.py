"""Rollouts through boxes behind a front, under load: one resumed, one stopped, one that succeeds.

One story in the order of this file: each begins with what the one before it left.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import hosts
from tests.lab.rolling_out import Fleet, phases

pytestmark = pytest.mark.lab

FIRST, SECOND = "--max-logprobs=7", "--max-logprobs=9"
# It parses, and the engine ends with it as it starts.
BROKEN = "--tokenizer=/nonexistent"
GATEWAY = "/etc/fortyninety/gateway/haproxy.cfg"


@pytest.fixture(scope="module")
def fleet(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two boxes behind a front, and somebody who asks it."""
    del lab
    yield Fleet.started(2, tmp_path_factory.mktemp("rollout"))
    hosts.down()


def test_a_killed_rollout_is_gone_on_with_and_no_request_fails(fleet: Fleet) -> None:
    fleet.is_to_have(engine_arguments=[FIRST])
    with fleet.asked_meanwhile():
        with fleet.under_way() as under_way:
            rollout = under_way.killed("changing")
        # Its deploy goes on to its end, which is waited for.
        code, result = fleet.roll_out("--resume", rollout)
    assert (code, phases(result)) == (0, ["done", "done"]), result
    assert len(fleet.having(FIRST)) == 2 and fleet.drained() == []


def test_a_broken_canary_stops_it_with_what_served_before_on_every_box(fleet: Fleet) -> None:
    fleet.is_to_have(engine_arguments=[SECOND, BROKEN])
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (1, ["failed-restored", "prepared"]), result
    assert len(fleet.having(FIRST)) == 2 and fleet.drained() == []


def test_what_restarts_no_engine_reaches_every_box_and_no_request_fails(fleet: Fleet) -> None:
    fleet.is_to_have(engine_arguments=[FIRST], gateway_answer_timeout=500)
    started = "systemctl show -P ExecMainStartTimestamp vllm"
    before = [box.ssh(started, check=True).stdout for box in fleet.boxes]
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (0, ["done", "done"]), result
    assert all(box.ssh(f"grep -q 500s {GATEWAY}").returncode == 0 for box in fleet.boxes)
    assert [box.ssh(started, check=True).stdout for box in fleet.boxes] == before
    assert fleet.drained() == []


@pytest.mark.exhaustive  # the first test above ends so too
def test_a_new_flag_reaches_every_box_and_no_request_fails(fleet: Fleet) -> None:
    fleet.is_to_have(engine_arguments=[SECOND])
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (0, ["done", "done"]), result
    assert len(fleet.having(SECOND)) == 2 and fleet.drained() == []
