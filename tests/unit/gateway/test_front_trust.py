"""Who a box takes for a front, and what a front takes for a box: the fleet's certificates alone."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fortyninety.gateway.authority import FOR_FRONTS, Authority, authority_in, issue
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE, FakeEngine
from tests.unit.gateway.running_front import FRONT, RunningFront
from tests.unit.gateway.running_gateway import (
    Answer,
    RunningGateway,
    answer_of,
    made_key,
    needs_haproxy,
)
from tests.unit.gateway.waiting import until

pytestmark = needs_haproxy

FROM_A_FRONT = {"X-Fortyninety-Tenant": "engineering", "X-Fortyninety-Key": "ada"}


@pytest.fixture
def box(engine: FakeEngine, tmp_path: Path) -> Iterator[RunningGateway]:
    """A box that hears one front."""
    running = RunningGateway(tmp_path / "box", engine, name="box-1", fronts=(FRONT,))
    running.start()
    yield running
    running.stop()


def asked_as(
    box: RunningGateway, certificate: str | None, path: str = "/v1/completions", **headers: str
) -> Answer:
    """The answer of the box's port for fronts to who has this certificate."""
    context = box.context()
    context.check_hostname = False
    if certificate is not None:
        file = box.folder / "client.pem"
        file.write_text(certificate)
        context.load_cert_chain(file)
    connection = http.client.HTTPSConnection(
        LOOPBACK, box.fronts_port, timeout=PATIENCE, context=context
    )
    sent = FROM_A_FRONT | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("POST", path, json.dumps({"prompt": "x"}), sent)
        return answer_of(connection.getresponse())
    finally:
        connection.close()


def identity(authority: Authority, name: str = FRONT) -> str:
    return issue(authority, [name], datetime.now(UTC), FOR_FRONTS)


def test_a_front_is_heard(box: RunningGateway) -> None:
    assert asked_as(box, identity(box.authority)).status == 200
    (asked,) = box.engine.of_path("/v1/completions")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["x-fortyninety-tenant"] == "engineering"


def test_who_is_no_front_of_the_fleet_is_not_heard(box: RunningGateway, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    another = authority_in(tmp_path / "another", "test", now)
    # Its own certificate, and that of every box, is a server's.
    servers = box.certificate.read_text(), issue(box.authority, [FRONT], now)
    for certificate in (None, *servers, identity(another)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            asked_as(box, certificate)
    gone = asked_as(box, identity(box.authority, "front-2"))
    assert gone.status == 403 and gone.error["code"] == "no_front"
    assert box.engine.of_path("/v1/completions") == []


def test_a_key_opens_nothing_at_the_port_for_fronts(box: RunningGateway) -> None:
    secret, key = made_key("ada")
    box.give(key)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        asked_as(box, None, Authorization=f"Bearer {secret}")
    # And what is said there counts nowhere else.
    assert box.ask(None, X_Fortyninety_Tenant="sales", X_Fortyninety_Key="ada").status == 401


def test_a_front_says_whose_request_it_is_and_asks_what_a_key_may(box: RunningGateway) -> None:
    certificate = identity(box.authority)
    for name in FROM_A_FRONT:
        for value in ("", "Sales", "a b", "a,b", "a" * 64):
            wrong = asked_as(box, certificate, **{name: value})
            assert wrong.status == 403 and wrong.error["code"] == "no_front"
    for path in ("/metrics", "/tokenize", "/v1/../metrics"):
        assert asked_as(box, certificate, path).status == 404
    assert box.engine.of_path("/v1/completions") == []


def test_a_box_with_the_certificate_of_another_is_none(engine: FakeEngine, tmp_path: Path) -> None:
    authority = authority_in(tmp_path / "authority", "test", datetime.now(UTC))
    strange = authority_in(tmp_path / "strange", "test", datetime.now(UTC))
    boxes = [
        RunningGateway(tmp_path / name, engine, authority=authority, name=name, fronts=(FRONT,))
        for name in ("box-1", "box-2", "box-3")
    ]
    _, renamed, foreign = boxes
    now = datetime.now(UTC)
    renamed.certificate.write_text(issue(authority, ["box-1", LOOPBACK], now))
    foreign.certificate.write_text(issue(strange, ["box-3", LOOPBACK], now))
    front = RunningFront(tmp_path / FRONT, authority, boxes)
    secret, key = made_key("ada")
    try:
        for each in (*boxes, front):
            each.start()
        front.give(key)
        until(lambda: [front.state_of(each) for each in boxes] == ["UP", "DOWN", "DOWN"])
        for number in range(20):
            assert front.ask(secret, body={"prompt": f"{number}x"}).status == 200
        # Nor is anything sent where the check does not see it.
        for each in (renamed, foreign):
            front.control_line(f"disable health boxes/{each.name}")
            front.control_line(f"set server boxes/{each.name} health up")
        for number in range(20):
            front.ask(secret, body={"prompt": f"{number}x"})
        assert renamed.logged() == foreign.logged() == []
    finally:
        for each in (front, *boxes):
            each.stop()
