"""Rollouts through boxes behind a front, under load: one resumed, one stopped, one that succeeds.

One story in the order of this file: each begins with what the one before it left.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts
from tests.lab.rolling_out import POLICY, Fleet, phases

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
def test_what_a_new_flag_cost_is_measured(fleet: Fleet, tmp_path: Path) -> None:
    fleet.is_to_have(engine_arguments=[SECOND])
    key, client = tmp_path / "key", fleet.client
    key.touch(mode=0o600)
    key.write_text(client.secret)
    asked_how = [
        *("--url", client.url, "--authority", str(fleet.authority), "--key-file", str(key)),
        *("--model", client.model, "--streams", "2", "--singles", "1", "--before", "20"),
    ]
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "bench.rollout", str(fleet.inventory), *asked_how, "--json"),
            *("--", *POLICY),
        ],
        cwd=fleet.project,
        env=fleet.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    print(ran.stdout)
    cost = json.loads(ran.stdout)
    assert cost["requests"]["whole"] == cost["requests"]["requests"] > 0, cost
    assert set(cost["seconds_out_of_rotation"]) == {box.name for box in fleet.boxes}, cost
    assert 0 < max(cost["seconds_out_of_rotation"].values()) < cost["seconds"], cost
    assert len(fleet.having(SECOND)) == 2 and fleet.drained() == []
