"""What a gateway refuses, before the engine hears of it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from datetime import date

import pytest

from fortyninety.gateway.policy import Policy
from tests.unit.gateway.conftest import Gateways
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE
from tests.unit.gateway.hostile_requests import hostile_requests
from tests.unit.gateway.running_gateway import RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.waiting import until

pytestmark = needs_haproxy


def engine_was_asked(gateway: RunningGateway) -> list[str]:
    """What the engine was asked for, but for the gateway's own probe."""
    return [
        f"{each.method} {each.path}" for each in gateway.engine.asked if b'"1"' not in each.body
    ]


def test_who_has_no_key_is_told_so_whatever_is_asked(gateway: RunningGateway) -> None:
    gateway.give(made_key("ada")[1])
    wrong = ("", "Bearer", "Bearer ", "Basic eDp5", "Bearer fn90-x", f"Bearer fn90-{'x' * 43}")
    for authorization in wrong:
        for path in ("/v1/completions", "/metrics"):
            answer = gateway.ask(None, path, Authorization=authorization)
            assert answer.status == 401 and answer.error["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
    assert engine_was_asked(gateway) == []


def test_a_key_counts_in_its_own_place_and_once(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    assert gateway.ask(None, Authorization=secret).status == 401
    assert gateway.ask(None, Authorization=f"Basic {secret}").status == 401
    assert gateway.ask(None, f"/v1/completions?api_key={secret}").status == 401
    assert gateway.ask(None, Authorization=f"Bearer {key.sha256}").status == 401
    twice = f"Authorization: Bearer {secret}\r\n" * 2
    answer = gateway.raw(
        f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{twice}Connection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert gateway.ask(None, Authorization=f"bearer {secret}").status == 200


def test_a_key_of_yesterday_has_expired_and_one_of_today_has_not(gateway: RunningGateway) -> None:
    old, expired = made_key("ada", expires=date(2020, 1, 1))
    new, serving = made_key("bob", expires=date(2999, 1, 1))
    gateway.give(expired, serving)
    answer = gateway.ask(old)
    assert answer.status == 401 and "expired" in answer.error["message"]
    assert gateway.ask(new).status == 200


PATHS = (
    *("/", "/metrics", "/docs", "/openapi.json", "/tokenize", "/invocations", "/health"),
    *("//v1/completions", "/v1/completions/", "/v1/../metrics", "//v1/../metrics"),
    *("/v1/completions/../../metrics", "/v1/%2e%2e/metrics", "/v1/models%2f..%2f..%2fmetrics"),
    *("/v1/completions;x", "/V1/completions", "/v1/completions%00", "/v1/completions%20"),
    *("/v1", "/v1/load_lora_adapter", "/v1/models/x", "/./v1/models", "/v1/responses"),
    *("/version", "/ping", "/pause", "/collective_rpc", "/ready"),
)


def test_no_other_path_is_let_through(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    codes = {
        (method, path): gateway.ask(secret, path, method=method).error["code"]
        for method in ("GET", "POST")
        for path in PATHS
    }
    assert {asked for asked, code in codes.items() if code != "unknown_url"} == set()
    assert engine_was_asked(gateway) == []


def test_a_path_is_asked_by_its_method(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X"):
        answer = gateway.ask(secret, method=method)
        assert answer.status == 405 and answer.error["code"] == "method_not_allowed"
        assert answer.headers["allow"] == "POST"
    assert engine_was_asked(gateway) == []


def test_a_body_has_its_length_and_its_bound(gateways: Gateways) -> None:
    gateway = gateways(max_body_kib=16)
    secret, key = made_key("ada")
    gateway.give(key)
    largest = b'{"prompt": "' + b"x" * (16 * 1024 - 14) + b'"}'
    assert gateway.ask(secret, body=largest).status == 200
    assert [each.body for each in gateway.engine.of_path("/v1/completions")] == [largest]
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    larger = gateway.raw(f"{head}Content-Length: {len(largest) + 1}\r\n\r\n".encode())
    assert larger.startswith(b"HTTP/1.1 413 ") and b'"request_too_large"' in larger
    for body in ("\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"):
        without_length = gateway.raw(f"{head}{body}".encode())
        assert without_length.startswith(b"HTTP/1.1 411 ")
        assert b'"length_required"' in without_length
    assert len(engine_was_asked(gateway)) == 1


def test_a_body_that_comes_slowly_is_not_waited_for(gateways: Gateways) -> None:
    gateway = gateways(body_timeout=1)
    secret, key = made_key("ada")
    gateway.give(key)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    answer = gateway.raw(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"request_timeout"' in answer
    assert engine_was_asked(gateway) == []


def test_headers_that_come_slowly_are_not_waited_for(gateways: Gateways) -> None:
    gateway = gateways(header_timeout=1)
    assert gateway.raw(b"POST /v1/completions HTTP/1.1\r\nHost:").startswith(b"HTTP/1.1 408 ")


def test_who_opens_many_connections_keeps_nobody_out_who_had_a_key(gateways: Gateways) -> None:
    gateway = gateways(connections=20, connections_per_client=4)
    secret, key = made_key("ada")
    gateway.give(key)
    assert gateway.ask(secret).status == 200
    with contextlib.ExitStack() as idle:
        opened = [idle.enter_context(connected_from(gateway, number)) for number in range(10, 20)]
        opened += [idle.enter_context(connected_from(gateway, number)) for number in range(10, 20)]
        # Half of all connections stay theirs, or a few less where several came at one moment.
        until(lambda: sum(map(is_closed, opened)) >= 10)
        assert [gateway.ask(secret).status for _ in range(5)] == [200] * 5
        # Of one address there are a few in any case.
        own = [idle.enter_context(connected_from(gateway, 1)) for _ in range(6)]
        until(lambda: sum(map(is_closed, own)) >= 2)
    until(lambda: gateway.figure("api", "FRONTEND", "scur") == "0")


def connected_from(gateway: RunningGateway, number: int) -> socket.socket:
    """A connection from an address of its own on which nothing is sent; refused, it is closed."""
    connection = socket.socket()
    connection.bind((f"127.0.0.{number}", 0))
    with contextlib.suppress(ConnectionResetError):
        connection.connect((LOOPBACK, gateway.port))
    connection.setblocking(False)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side has ended it."""
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_headers_have_their_bound(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    answer = gateway.ask(secret, X="y" * Policy().max_header_bytes)
    assert answer.status == 431 and answer.error["code"] == "headers_too_large"
    many = "".join(f"X{number}: y\r\n" for number in range(200))
    assert gateway.raw(f"GET /v1/models HTTP/1.1\r\n{many}\r\n".encode()).startswith(b"HTTP/1.1 4")
    whole = Policy().buffer_bytes
    assert b" 200 " not in gateway.raw(b"GET /v1/models HTTP/1.1\r\nX: " + b"y" * 2 * whole)[:20]
    assert gateway.ask(secret).status == 200
    assert len(engine_was_asked(gateway)) == 1


def test_a_request_that_can_be_read_in_two_ways_reaches_no_engine(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    answers = {what: gateway.raw(each) for what, each in hostile_requests(secret).items()}
    taken = {
        what: answer
        for what, answer in answers.items()
        if answer and not answer.startswith(b"HTTP/1.1 4")
    }
    assert taken == {}
    assert engine_was_asked(gateway) == []
    # Others are served.
    assert gateway.ask(secret).status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_tls_before_1_2_is_refused(gateway: RunningGateway) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = gateway.context()
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection((LOOPBACK, gateway.port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=LOOPBACK) as stream,
        ):
            assert stream.version() == version.name.replace("_", ".")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    # Else this side would refuse it.
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((LOOPBACK, gateway.port), PATIENCE) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)) as refused,
    ):
        old.wrap_socket(plain)
    assert "NO_PROTOCOLS_AVAILABLE" not in str(refused.value)


def test_without_tls_there_is_no_answer(gateway: RunningGateway) -> None:
    with socket.create_connection((LOOPBACK, gateway.port), PATIENCE) as plain:
        plain.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/" not in plain.recv(100)


def test_a_client_has_so_many_connections_and_no_more(gateways: Gateways) -> None:
    gateway = gateways(connections_per_client=3)
    secret, key = made_key("ada")
    gateway.give(key)
    held = [gateway.connect() for _ in range(3)]
    for each in held:
        each.request("GET", "/v1/models", headers={"Authorization": f"Bearer {secret}"})
        assert each.getresponse().read()
    with pytest.raises((ConnectionError, ssl.SSLError)):
        gateway.ask(secret)
    for each in held:
        each.close()
