"""A box that is drained: it ends what it has, gets nothing new, and comes back by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortyninety.on_host.gateway_control import drained_until, write_drained
from tests.unit.gateway.conftest import Gateways
from tests.unit.gateway.draining import Draining, for_a_minute, write_state
from tests.unit.gateway.fake_engine import PATIENCE
from tests.unit.gateway.running_fleet import RunningFleet, running_fleet
from tests.unit.gateway.running_gateway import RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.waiting import in_background, until

METRICS = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="m"}} {}.0
vllm:num_requests_waiting{{engine="0",model_name="m"}} {}.0
vllm:num_requests_waiting_by_reason{{engine="0",model_name="m"}} 7.0
"""


@pytest.fixture
def draining(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Draining:
    return Draining(gateway, monkeypatch)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[RunningFleet]:
    with running_fleet(tmp_path) as running:
        yield running


@needs_haproxy
def test_streams_end_and_what_is_new_waits_until_it_serves_again(draining: Draining) -> None:
    gateway = draining.gateway
    secret, key = made_key("ada")
    gateway.give(key)
    connection = gateway.connect()
    body = json.dumps({"stream": True, "events": 2})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {secret}"})
    response = connection.getresponse()
    gateway.engine.next_event.release()
    assert response.readline() == b"data: 0\n"

    with draining.begin("begin", *for_a_minute(), "--wait", str(PATIENCE)) as program:
        assert program.stderr is not None and program.stdout is not None
        assert "under way by the gateway: 1" in program.stderr.readline()
        assert program.poll() is None
        gateway.engine.next_event.release()
        assert response.read().endswith(b"data: 1\n\n")
        answer = json.loads(program.stdout.read())
    connection.close()
    assert answer["open"]["gateway"] == 0 and answer["in_force"] is True
    assert (answer["drained"]["reason"], answer["drained"]["by"]) == ("new fans", "ada@laptop")

    # An engine that comes back meanwhile gets nothing.
    held = [in_background(gateway.ask, secret) for _ in range(3)]
    until(lambda: _in_backend(gateway, "drained") == 3)
    gateway.engine.stop()
    gateway.engine.start()
    assert not any(each.done() for each in held)
    assert len(gateway.engine.of_path("/v1/completions")) == 1
    assert draining.box.serve()
    assert [each.result(PATIENCE).status for each in held] == [200] * 3
    assert gateway.ask(secret).status == 200
    assert not draining.state.exists()


@needs_haproxy
def test_what_is_held_too_long_is_refused_as_over_a_restart(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateways(hold=2)
    secret, key = made_key("ada")
    gateway.give(key)
    Draining(gateway, monkeypatch).drain()
    refused = gateway.ask(secret)
    assert (refused.status, refused.error["code"]) == (503, "engine_unavailable")
    assert refused.headers["retry-after"] == "10"
    assert gateway.engine.of_path("/v1/completions") == []


@needs_haproxy
def test_a_front_sends_it_nothing_new_and_other_boxes_serve(
    fleet: RunningFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = fleet.chosen("once upon a time")
    draining = Draining(box, monkeypatch)
    connection = fleet.front.connect()
    body = json.dumps({"stream": True, "events": 2, "prompt": "once upon a time"})
    headers = {"Authorization": f"Bearer {fleet.secret}"}
    connection.request("POST", "/v1/completions", body, headers)
    response = connection.getresponse()
    box.engine.next_event.release()
    assert response.readline() == b"data: 0\n"
    asked = len(box.engine.of_path("/v1/completions"))

    draining.drain()
    # Before the front has heard of it too.
    again = {"prompt": "once upon a time"}
    assert fleet.front.ask(fleet.secret, body=again).status == 200
    until(lambda: fleet.front.state_of(box) == "DOWN")
    assert fleet.front.ask(fleet.secret, body=again).status == 200
    assert len(box.engine.of_path("/v1/completions")) == asked
    box.engine.next_event.release()
    assert response.read().endswith(b"data: 1\n\n")
    connection.close()

    draining.box.serve()
    until(lambda: fleet.front.state_of(box) == "UP")
    assert fleet.chosen("once upon a time") is box


@needs_haproxy
def test_a_gateway_that_takes_over_or_starts_is_drained_by_the_file(draining: Draining) -> None:
    gateway = draining.gateway
    secret, key = made_key("ada")
    gateway.give(key)
    draining.drain()
    gateway.start()
    held = in_background(gateway.ask, secret)
    until(lambda: _in_backend(gateway, "drained") == 1)
    gateway.stop()
    assert isinstance(held.exception(PATIENCE), Exception)

    # As after a boot, with the map of before it was drained.
    gateway.drained_map.write_text("")
    write_drained(gateway.folder, draining.state)
    gateway.process = None
    gateway.start()
    held = in_background(gateway.ask, secret)
    until(lambda: _in_backend(gateway, "drained") == 1)
    draining.box.serve()
    assert held.result(PATIENCE).status == 200


@needs_haproxy
def test_its_moment_ends_it_and_an_earlier_timer_does_not(draining: Draining) -> None:
    gateway = draining.gateway
    secret, key = made_key("ada")
    gateway.give(key)
    draining.drain()
    shown = {path.name: path.read_text() for path in draining.units.iterdir()}
    moment = time.gmtime(json.loads(draining.state.read_text())["until"])
    assert (
        f"OnCalendar={time.strftime('%Y-%m-%d %H:%M:%S', moment)} UTC\nPersistent=true"
        in (shown["fortyninety-undrain.timer"])
    )
    assert f"ExecStart={gateway.folder}/drain expire\n" in shown["fortyninety-undrain.service"]
    assert draining.asked_of_systemd() == [
        "daemon-reload",
        "enable --quiet fortyninety-undrain.timer",
        "restart fortyninety-undrain.timer",
    ]
    assert draining.begin("expire").wait(PATIENCE) == 0
    assert draining.state.exists() and draining.gateway.drained_map.read_text()

    write_state(draining.state, int(time.time()) - 1)
    assert draining.begin("expire").wait(PATIENCE) == 0
    assert gateway.ask(secret).status == 200
    assert not draining.state.exists() and not list(draining.units.iterdir())


@needs_haproxy
def test_a_deploy_leaves_a_box_drained_that_somebody_drained(draining: Draining) -> None:
    deploys = ("--reason", "a deploy", "--by", "ci@ci", "--seconds", "9", "--of-deploy")
    assert draining.run("begin", *deploys)["drained"]["by"] == "deploy of ci@ci"
    draining.box.serve_after_a_deploy()
    assert draining.box.drained() is None
    draining.drain()
    assert draining.run("begin", *deploys)["drained"]["by"] == "ada@laptop"
    assert draining.run("end", "--of-deploy")["drained"]["by"] == "ada@laptop"
    draining.box.serve()
    assert draining.box.drained() is None


@needs_haproxy
def test_what_the_engine_has_is_waited_for_too(draining: Draining) -> None:
    draining.gateway.engine.metrics = METRICS.format(2, 1)
    answer = draining.run("begin", *for_a_minute(), "--wait", "0.1")
    assert answer["open"] == {"gateway": 0, "running": 2, "waiting": 1}
    with draining.begin("wait", "--wait", str(PATIENCE)) as program:
        assert program.stderr is not None and program.stdout is not None
        assert "the engine runs 2, 1 wait there" in program.stderr.readline()
        draining.gateway.engine.metrics = METRICS.format(0, 0)
        assert json.loads(program.stdout.read())["open"]["running"] == 0


@needs_haproxy
@pytest.mark.parametrize(
    ("reason", "seconds"),
    [("", 60), ("x" * 201, 60), ("a\nb", 60), ("\x1b[31m", 60), ("x", 86401), ("x", 0)],
)
def test_what_has_no_bound_is_refused(draining: Draining, reason: str, seconds: int) -> None:
    more = ("--reason", reason, "--by", "ada@laptop", "--seconds", str(seconds))
    said, complaint = draining.begin("begin", *more).communicate()
    assert "expected " in complaint and " 1 to " in complaint and not said
    assert not draining.state.exists() and not list(draining.units.iterdir())


@needs_haproxy
def test_a_gateway_of_an_older_deploy_is_named_and_serves_on(draining: Draining) -> None:
    gateway = draining.gateway
    gateway.configuration.write_text(
        gateway.configuration.read_text().replace("/drained.map", "/other.map")
    )
    (gateway.folder / "other.map").touch()
    gateway.start()
    program = draining.begin("begin", *for_a_minute())
    said, complaint = program.communicate()
    assert program.returncode == 1 and not said
    assert "may be of an older deploy" in complaint and complaint.count("\n") == 1
    assert not draining.state.exists() and not list(draining.units.iterdir())


def test_nobody_is_kept_away_by_what_cannot_be_understood(tmp_path: Path) -> None:
    state = tmp_path / "drained.json"
    assert drained_until(state) == 0
    for text in ("", "{", "[]", "[" * 100_000, '{"until": "9"}', '{"until": true}', "\0" * 9000):
        state.write_text(text)
        assert drained_until(state) == 0
    write_state(state, int(time.time()) - 1)
    assert drained_until(state) == 0
    write_state(state, later := int(time.time()) + 60)
    assert drained_until(state) == later


def _in_backend(gateway: RunningGateway, backend: str) -> int:
    """How many requests are in one of its backends."""
    lines = [
        line.split(",") for line in gateway.control_line(f"show stat {backend} 2 -1").splitlines()
    ]
    return int(lines[1][lines[0].index("scur")])
