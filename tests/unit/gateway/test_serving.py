"""What a gateway lets through, how much of it, and what it does while the engine restarts."""

from __future__ import annotations

import json
from collections.abc import Callable

from fortyninety.on_host.gateway_control import put_in_force
from tests.unit.gateway.conftest import Gateways
from tests.unit.gateway.fake_engine import PATIENCE
from tests.unit.gateway.running_gateway import RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.waiting import in_background, until

pytestmark = needs_haproxy


def test_the_engine_hears_the_path_the_body_and_the_tenant_and_no_key(
    gateway: RunningGateway,
) -> None:
    secret, key = made_key("ada", tenant="engineering")
    assert gateway.give(key) == "in force"
    answer = gateway.ask(
        secret,
        "/v1/completions?x=y",
        {"prompt": "x"},
        X_Fortyninety_Tenant="sales",
        X_Fortyninety_Other="sales",
        Cookie="a=b",
    )
    assert answer.status == 200 and json.loads(answer.body)["choices"]
    (asked,) = gateway.engine.of_path("/v1/completions")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["x-fortyninety-tenant"] == "engineering"
    assert not {"authorization", "cookie", "upgrade", "x-fortyninety-other"} & set(headers)
    assert secret not in str(asked) and json.loads(asked.body) == {"prompt": "x"}
    assert gateway.ask(secret, "/v1/models", method="GET").status == 200


def test_each_event_of_a_stream_passes_before_the_next(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    connection = gateway.connect()
    body = json.dumps({"stream": True, "events": 5})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {secret}"})
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    for number in range(5):
        # The engine sends it now, and the next one only once this one is here.
        gateway.engine.next_event.release()
        assert response.readline() + response.readline() == b"data: %d\n\n" % number
    assert response.read() == b""
    connection.close()


def test_a_key_asks_so_often_in_a_minute_and_another_is_not_concerned(
    gateway: RunningGateway,
) -> None:
    secret, key = made_key("ada", requests_per_minute=5)
    other, others = made_key("bob", tenant=key.tenant)
    gateway.give(key, others)
    assert [gateway.ask(secret).status for _ in range(5)] == [200] * 5
    for _ in range(3):
        answer = gateway.ask(secret)
        assert answer.status == 429 and answer.error["code"] == "rate_limit_exceeded"
        assert 0 < int(answer.headers["retry-after"]) <= 60
    assert gateway.ask(other).status == 200
    assert len(gateway.engine.of_path("/v1/completions")) == 6


def test_a_key_has_so_many_requests_under_way(gateway: RunningGateway) -> None:
    secret, key = made_key("ada", concurrent=2)
    gateway.give(key)
    gateway.engine.go_on.clear()
    held = [in_background(gateway.ask, secret) for _ in range(2)]
    for _ in held:
        assert gateway.engine.arrived.acquire(timeout=PATIENCE)
    answer = gateway.ask(secret)
    assert answer.status == 429 and answer.headers["retry-after"] == "2"
    gateway.engine.go_on.set()
    assert [each.result(PATIENCE).status for each in held] == [200, 200]
    until(lambda: gateway.ask(secret).status == 200)


def test_a_revoked_key_ends_at_once_its_streams_do_not_and_a_reload_revives_it_not(
    gateway: RunningGateway,
) -> None:
    secret, key = made_key("ada")
    other, others = made_key("bob")
    gateway.give(key, others)
    connection = gateway.connect()
    body = json.dumps({"stream": True, "events": 2})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {secret}"})
    response = connection.getresponse()
    gateway.engine.next_event.release()
    assert response.readline() == b"data: 0\n"

    assert gateway.give(others) == "in force"
    assert gateway.ask(secret).status == 401
    assert gateway.ask(other).status == 200

    gateway.engine.next_event.release()
    assert response.read().endswith(b"data: 1\n\n")
    connection.close()
    gateway.start()
    assert gateway.ask(secret).status == 401
    assert gateway.ask(other).status == 200


def test_the_last_key_can_be_revoked_too(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.give()
    assert gateway.ask(secret).status == 401


def test_keys_are_there_when_a_gateway_starts_later(gateway: RunningGateway) -> None:
    gateway.stop()
    secret, key = made_key("ada")
    assert gateway.give(key) == "written"
    assert put_in_force(gateway.key_map, "", gateway.folder / "none") is False
    gateway.process = None
    gateway.start()
    assert gateway.ask(secret).status == 200


def test_the_log_says_who_asked_and_no_prompt_and_no_key(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    words = "the-words-of-a-prompt"
    requests: list[Callable[[], object]] = [
        lambda: gateway.ask(secret, body={"prompt": words}),
        lambda: gateway.ask(secret, f"/v1/models?q={words}", method="GET"),
        lambda: gateway.ask(secret, f"/{words}?q={words}"),
        lambda: gateway.ask(f"{secret}{words}", X=words),
        lambda: gateway.ask(secret, method=words),
        lambda: gateway.raw(f"{words}\r\n\r\n".encode()),
    ]
    for number, request in enumerate(requests, 1):
        request()
        # A line for each, and before the next, which another thread may write sooner.
        until(lambda number=number: len(gateway.logged()) == number)
    text = gateway.log.read_text()
    assert words not in text and secret not in text and key.sha256 not in text
    said = [
        (each["key"], each["method"], each["path"], each["status"]) for each in gateway.logged()
    ]
    assert said == [
        ("ada", "POST", "/v1/completions", 200),
        ("ada", "GET", "/v1/models", 200),
        ("ada", "POST", "other", 404),
        ("-", "POST", "/v1/completions", 401),
        ("ada", "other", "/v1/completions", 405),
        ("-", "-", "-", 400),
    ]
    assert gateway.logged()[0]["tenant"] == "ada-tenant"


def test_a_request_that_need_not_wait_goes_to_the_engine_at_once(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    assert [gateway.ask(secret).status for _ in range(3)] == [200] * 3
    assert gateway.figure("taken", "engine", "stot") == "3"
    assert gateway.figure("held", "FRONTEND", "stot") == "0"


def test_requests_are_held_while_the_engine_restarts(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.stop()
    held = [in_background(gateway.ask, secret) for _ in range(5)]
    until(lambda: gateway.held() == 5)
    assert not any(each.done() for each in held)
    gateway.engine.start()
    assert [each.result(PATIENCE).status for each in held] == [200] * 5
    assert len(gateway.engine.of_path("/v1/completions")) == 5


def test_as_many_requests_are_held_as_there_may_be_connections(gateways: Gateways) -> None:
    gateway = gateways(connections=10)
    secret, key = made_key("ada")
    gateway.give(key)
    assert gateway.ask(secret).status == 200
    gateway.engine.stop()
    held = [in_background(gateway.ask, secret) for _ in range(10)]
    until(lambda: gateway.held() == 10)
    gateway.engine.start()
    assert [each.result(PATIENCE).status for each in held] == [200] * 10


def test_a_request_whose_engine_dies_before_a_byte_is_asked_again(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    large = {"prompt": "die", "more": "x" * 200_000}
    assert gateway.ask(secret, body=large).status == 200
    first, second = gateway.engine.of_path("/v1/completions")
    assert first.body == second.body and len(first.body) > 200_000


def test_a_request_that_ends_every_engine_is_sent_thrice_and_costs_no_other_its_answer(
    gateway: RunningGateway,
) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    killer = in_background(gateway.ask, secret, "/v1/completions", {"prompt": "kill"})
    assert gateway.engine.died.acquire(timeout=PATIENCE)
    gateway.engine.start()
    assert gateway.engine.died.acquire(timeout=PATIENCE)
    # They may be in one engine that ends. Whoever is in three of them cannot be told from the one
    # that ends them, and a refused connection counts as well.
    others = [in_background(gateway.ask, secret) for _ in range(5)]
    until(lambda: gateway.held() == 6)
    gateway.engine.start()
    assert gateway.engine.died.acquire(timeout=PATIENCE)
    gateway.engine.start()
    assert [each.result(PATIENCE).status for each in others] == [200] * 5
    answer = killer.result(PATIENCE)
    assert answer.status == 502 and answer.error["code"] == "engine_failed"
    # Else clients send it again by themselves.
    assert answer.headers["x-should-retry"] == "false" and "retry-after" not in answer.headers
    assert len([each for each in gateway.engine.asked if b'"kill"' in each.body]) == 3


def test_a_request_that_was_held_first_ends_two_engines(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.stop()
    killer = in_background(gateway.ask, secret, "/v1/completions", {"prompt": "kill"})
    until(lambda: gateway.held() == 1)
    for _ in range(2):
        gateway.engine.start()
        assert gateway.engine.died.acquire(timeout=PATIENCE)
    answer = killer.result(PATIENCE)
    assert answer.status == 502 and answer.error["code"] == "engine_failed"


def test_requests_are_held_by_the_switch_of_the_address(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    for backend in ("taken", "engine"):
        gateway.control_line(f"set server {backend}/engine addr 127.0.0.1 port 9")
    held = [in_background(gateway.ask, secret) for _ in range(3)]
    until(lambda: gateway.held() == 3)
    assert gateway.engine.of_path("/v1/completions") == []
    for backend in ("taken", "engine"):
        gateway.control_line(
            f"set server {backend}/engine addr 127.0.0.1 port {gateway.engine.port}"
        )
    assert [each.result(PATIENCE).status for each in held] == [200] * 3


def test_no_request_is_held_for_ever(gateways: Gateways) -> None:
    gateway = gateways(hold=1)
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.stop()
    answer = gateway.ask(secret)
    assert answer.status == 503 and answer.error["type"] == "server_error"
    assert int(answer.headers["retry-after"]) > 0


def test_who_hangs_up_is_held_no_longer(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.stop()
    connection = gateway.connect()
    connection.request("POST", "/v1/completions", b"{}", {"Authorization": f"Bearer {secret}"})
    until(lambda: gateway.held() == 1)
    connection.close()
    until(lambda: gateway.held() == 0)


def test_it_is_ready_once_the_engine_answers_a_completion(gateways: Gateways) -> None:
    gateway = gateways(probe_interval=1)
    until(lambda: gateway.status("/ready").status == 200)
    # It begins so, and asks at once.
    until(lambda: gateway.engine.asked != [])
    (probed, *_) = gateway.engine.asked
    assert json.loads(probed.body)["max_tokens"] == 1
    gateway.engine.stop()
    until(lambda: gateway.status("/ready").status == 503)
    assert b"haproxy_frontend_requests_denied_total" in gateway.status("/metrics").body
    assert gateway.status("/").status == 404


def test_an_engine_that_is_let_go_in_a_stream_hears_of_it(gateway: RunningGateway) -> None:
    secret, key = made_key("ada", concurrent=1)
    gateway.give(key)
    connection = gateway.connect()
    body = json.dumps({"stream": True, "events": 1000})
    connection.request("POST", "/v1/completions", body, {"Authorization": f"Bearer {secret}"})
    response = connection.getresponse()
    gateway.engine.next_event.release()
    response.readline()
    # It holds the socket as well.
    response.close()
    connection.close()
    # Its place is free.
    until(lambda: gateway.ask(secret, "/v1/models", method="GET").status == 200)
