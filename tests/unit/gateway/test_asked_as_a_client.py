"""What somebody with a key is answered, asked by the host itself with a key for one request."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

from fortyninety.checkout import ROOT
from fortyninety.gateway.authority import issue
from tests.unit.gateway.fake_engine import FakeEngine
from tests.unit.gateway.running_gateway import MODEL, RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.waiting import until

pytestmark = needs_haproxy

PROGRAM = ROOT / "fortyninety" / "on_host" / "ask_gateway.py"


def asked(gateway: RunningGateway) -> dict[str, Any]:
    ran = subprocess.run(
        [
            *("python3", "-I", str(PROGRAM), "--folder", str(gateway.folder)),
            *("--control", str(gateway.control), "--port", str(gateway.port), "--model", MODEL),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_it_is_answered_as_somebody_with_a_key_and_leaves_no_key(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    before = gateway.key_map.read_text()
    assert asked(gateway) == {"answer": "whole"}
    until(lambda: len(gateway.logged()) == 1)
    (line,) = (each for each in gateway.logged() if each["key"] == "fortyninety-probe")
    assert (line["tenant"], line["status"]) == ("fortyninety", 200)
    (entry,) = gateway.control_line(f"show map {gateway.key_map}").strip().splitlines()
    assert key.sha256 in entry and gateway.key_map.read_text() == before
    assert gateway.ask(secret).status == 200


def test_what_the_engine_answers_is_no_completion(
    gateway: RunningGateway, engine: FakeEngine
) -> None:
    engine.says_tokens = 7
    assert "no completion" in asked(gateway)["error"]


def test_a_gateway_that_is_drained_is_not_asked(gateway: RunningGateway) -> None:
    gateway.control_line(f"add map {gateway.drained_map} drained 9999999999")
    assert asked(gateway) == {"answer": "drained"}
    assert gateway.logged() == []


def test_a_gateway_with_another_certificate_is_none(gateway: RunningGateway) -> None:
    gateway.certificate.write_text(issue(gateway.authority, ["other.test"], datetime.now(UTC)))
    assert "another certificate" in asked(gateway)["error"]


def test_no_gateway_at_all_is_said(gateway: RunningGateway) -> None:
    gateway.stop()
    assert "no gateway runs" in asked(gateway)["error"]
