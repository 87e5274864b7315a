"""Who means harm, with a key and without: refused or harmless, while others are served."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import pytest

from tests.unit.gateway.conftest import Gateways
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE
from tests.unit.gateway.running_gateway import RunningGateway, made_key, needs_haproxy
from tests.unit.gateway.test_refused import engine_was_asked

pytestmark = needs_haproxy

_INSIDE = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
# What one server takes for chunks and another does not.
CHUNKS = (
    *("Transfer-Encoding: chunked\x0b", "Transfer-Encoding: \x0bchunked"),
    *("Transfer-Encoding: chunked\x0c", "Transfer-Encoding: chunked;x"),
    *('Transfer-Encoding: "chunked"', "Transfer-Encoding: chunked,", "Transfer-Encoding: ,chunked"),
    *("Transfer-Encoding: identity", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding:"),
    *("Transfer-Encoding: chunk\x00ed", "Transfer-Encoding: \x85chunked"),
    *("Transfer-Encoding: \xa0chunked", "Transfer-Encoding: x, \tchunked"),
    *("Transfer-Encoding\t: chunked", "\tTransfer-Encoding: chunked"),
    *(" Transfer-Encoding: chunked", "Transfer-Encoding\x00: chunked"),
    *("Transfer\x85Encoding: chunked", "TrAnSfEr-eNcOdInG: Chunked", "Transfer-Encoding:chunked"),
    *("X: y\r\n\r Transfer-Encoding: chunked", "X:\x01y", "X", "X : y", ": y", "\x00X: y"),
)
LENGTHS = (
    *("5;", "5.0", "5e0", "", "0x5", "1_0", "5 5", "-0", "+5", "5\x0b", "5,6", "\xef\xbc\x95"),
    *("4294967301", "18446744073709551621"),
)
TARGETS = (
    *("/v1\\completions", "/v1/models#x", "/v1/models\x00", "/v1/models\x7f", "/v1/models\xe9"),
    *("https://x/metrics", "http:/metrics", "//x/v1/models", "/v1/models;x", "?/v1/models", "*"),
    *("v1/models", "x:443", "/v1/models?\r", "/v1/models%00", "/v1/%2e%2e/metrics"),
)


def hostile(secret: str) -> dict[str, str]:
    """Requests with a right key that must not be taken."""
    key = f"Host: x\r\nAuthorization: Bearer {secret}\r\n"
    post = f"POST /v1/completions HTTP/1.1\r\n{key}"
    chunked = f"5\r\nhello\r\n0\r\n\r\n{_INSIDE}"
    length = f"Content-Length: {len(_INSIDE)}\r\n"
    before = {f"{each!r} after": f"{post}{length}{each}\r\n\r\n{chunked}" for each in CHUNKS}
    after = {f"{each!r} before": f"{post}{each}\r\n{length}\r\n{chunked}" for each in CHUNKS}
    lengths = {
        f"length {each!r}": f"{post}Content-Length: {each}\r\n\r\n{{}}   {_INSIDE}"
        for each in LENGTHS
    }
    targets = {f"target {each!r}": f"GET {each} HTTP/1.1\r\n{key}\r\n" for each in TARGETS}
    return before | after | lengths | targets


def test_no_reading_of_chunks_lengths_and_paths_is_taken(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    answers = {
        what: gateway.raw(request.encode("latin-1")) for what, request in hostile(secret).items()
    }
    taken = {
        what: answer[:40]
        for what, answer in answers.items()
        if answer and not answer.startswith(b"HTTP/1.1 4")
    }
    assert taken == {}
    assert engine_was_asked(gateway) == []
    assert gateway.ask(secret).status == 200


def test_the_engine_hears_no_header_that_a_client_chose_for_it(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    # vLLM was seen in source to read some of the first five; servers may believe the next three.
    chosen = {
        "X-Request-Id": "another's",
        "X-Data-Parallel-Rank": "1",
        "X-Session-Id": "another's",
        "X-Vllm-Priority": "-1",
        "Traceparent": "00-1",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Proto": "http",
        "Forwarded": "for=192.0.2.1",
        "Connection": "Upgrade, X-Fortyninety-Tenant",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x3JJHMbDL1EzLkh9GBhXDw==",
        "Expect": "100-continue",
        "TE": "trailers",
        "Accept": "text/event-stream",
        "User-Agent": "a client",
    }
    assert gateway.ask(secret, "/v1/models", method="GET", **chosen).status == 200
    (asked,) = gateway.engine.of_path("/v1/models")
    heard = {name.lower(): value for name, value in asked.headers.items()}
    assert heard == {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "host": f"{LOOPBACK}:{gateway.engine.port}",
        "user-agent": "a client",
        "x-fortyninety-tenant": key.tenant,
    }


def test_who_begins_no_tls_is_not_waited_for(gateways: Gateways) -> None:
    gateway = gateways(body_timeout=1)
    for said in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        with socket.create_connection((LOOPBACK, gateway.port), PATIENCE) as silent:
            silent.sendall(said)
            with contextlib.suppress(ConnectionError):
                assert silent.recv(1) == b""


def test_an_engine_may_take_longer_than_a_client_may(gateways: Gateways) -> None:
    gateway = gateways(body_timeout=1)
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.go_on.clear()
    # Nothing but time passes in between: the limit of the client's silence, and as much again.
    threading.Timer(2, gateway.engine.go_on.set).start()
    assert gateway.ask(secret).status == 200


def test_one_clients_connections_keep_no_other_client_out(gateways: Gateways) -> None:
    gateway = gateways(connections=120, connections_per_client=50)
    secret, key = made_key("ada")
    gateway.give(key)
    with contextlib.ExitStack() as held:
        for _ in range(500):
            with contextlib.suppress(ConnectionError):
                flood = socket.create_connection(
                    (LOOPBACK, gateway.port), PATIENCE, source_address=("127.0.0.2", 0)
                )
                held.enter_context(flood)
        for _ in range(5):
            assert gateway.ask(secret).status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 7 + b"x" * 16,
        b"\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00"
        + b"x" * 32
        + b"\x00\x00\x02\x00\x2f\x01\x00",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 100,
    ],
    ids=["SSL 2", "SSL 3", "no TLS", "HTTP/2 without TLS", "zeros"],
)
def test_what_is_no_tls_of_today_gets_no_page(gateway: RunningGateway, said: bytes) -> None:
    with socket.create_connection((LOOPBACK, gateway.port), PATIENCE) as plain:
        plain.sendall(said)
        with contextlib.suppress(ConnectionError):
            # An alert at most, never a handshake that goes on.
            answer = plain.recv(1000)
            assert not answer or answer[0] == 0x15


def test_other_names_and_protocols_of_tls_are_harmless(gateway: RunningGateway) -> None:
    secret, key = made_key("ada")
    gateway.give(key)
    request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\r\n"
    for name, protocols in (("other.example", ["http/1.1"]), ("x" * 63, []), (None, ["h2"])):
        context = ssl.create_default_context(cadata=gateway.authority.pem)
        context.check_hostname = False
        context.set_alpn_protocols(protocols)
        with (
            socket.create_connection((LOOPBACK, gateway.port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=name) as stream,
        ):
            assert stream.selected_alpn_protocol() in (None, "http/1.1")
            stream.sendall(request.encode())
            assert stream.recv(100).startswith(b"HTTP/1.1 200 ")
