"""What the engine's unit has a gateway do before the engine ends, and once it has."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from fortyninety.checkout import ROOT
from fortyninety.on_host.gateway_control import hold, release
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE
from tests.unit.gateway.running_gateway import RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.waiting import in_background, until

# As either version shows where nobody listens.
NOBODY = r"127\.0\.0\.1[: ]1 "
PROGRAM = ROOT / "fortyninety/on_host/gateway_control.py"


def asks_nobody(gateway: RunningGateway, backend: str) -> bool:
    """Whether this backend asks where nobody listens."""
    return bool(re.search(NOBODY, gateway.control_line(f"show servers conn {backend}")))


def begin(gateway: RunningGateway, *words: str) -> subprocess.Popen[bytes]:
    """The program under way, as the unit runs it."""
    verb, *more = words
    return subprocess.Popen(["python3", "-I", str(PROGRAM), verb, str(gateway.control), *more])


@needs_haproxy
def test_streams_end_while_new_requests_wait_for_the_next_engine(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    connection = gateway.connect()
    body = json.dumps({"stream": True, "events": 2})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {secret}"})
    response = connection.getresponse()
    gateway.engine.next_event.release()
    assert response.readline() == b"data: 0\n"
    with begin(gateway, "hold", str(PATIENCE)) as holding:
        until(lambda: all(asks_nobody(gateway, backend) for backend in ("engine", "taken")))
        held = [in_background(gateway.ask, secret) for _ in range(3)]
        until(lambda: gateway.held() == 4)
        assert holding.poll() is None
        gateway.engine.next_event.release()
        assert response.read().endswith(b"data: 1\n\n")
    connection.close()
    assert holding.returncode == 0
    assert len(gateway.engine.of_path("/v1/completions")) == 1
    gateway.engine.stop()
    assert begin(gateway, "release", LOOPBACK, str(gateway.engine.port)).wait(PATIENCE) == 0
    gateway.engine.start()
    assert [each.result(PATIENCE).status for each in held] == [200] * 3
    assert gateway.ask(secret).status == 200


@needs_haproxy
def test_a_stream_without_an_end_is_not_waited_for(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.go_on.clear()
    asked = in_background(gateway.ask, secret)
    assert gateway.engine.arrived.acquire(timeout=PATIENCE)
    assert begin(gateway, "hold", "0").wait(PATIENCE) == 0
    gateway.engine.go_on.set()
    assert asked.result(PATIENCE).status == 200


def test_an_engine_ends_where_no_gateway_runs(tmp_path: Path) -> None:
    hold(tmp_path / "none", 10)
    release(tmp_path / "none", LOOPBACK, "8000")
