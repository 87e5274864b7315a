"""What passes the middleware and what does not, and how it passes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortyninety.on_host.tenants.asgi import Message, Receive, Scope, Send
from fortyninety.on_host.tenants.middleware import TenantMiddleware
from fortyninety.plan.programs import TENANTS, importable
from tests.unit.on_host.tenants.asgi_client import SECRET, Added, Engine, ask

EVENTS = [b'data: {"a":1}\n\n', b": keep-alive\n\n", b'data: {"b":2}\n\n', b"data: [DONE]\n\n"]
PREFIX = {"root_path": "/prefix"}


def stream(**changes: Any) -> Engine:
    """An engine that answers in events."""
    return Engine(events=EVENTS, kind=b"text/event-stream; charset=utf-8", **changes)


@pytest.mark.parametrize(
    ("path", "method", "scope"),
    [
        ("/tokenize", "POST", {}),
        ("/v1/completions/", "POST", {}),
        ("//v1/completions", "POST", {}),
        ("/V1/completions", "POST", {}),
        ("/v1/completions/render", "POST", {}),
        ("/v1/completions", "PUT", {}),
        ("/prefixv1/completions", "POST", PREFIX),
        ("/invocations", "POST", {}),
    ],
)
def test_a_tenant_asks_nothing_that_takes_no_salt(
    path: str, method: str, scope: dict[str, Any]
) -> None:
    engine = Engine()
    assert ask(engine, path=path, method=method, **scope).status == 404
    assert engine.scopes == []
    # Who asks on loopback, by no gateway, may.
    assert ask(engine, path=path, method=method, tenant=None, **scope).status == 200
    assert engine.bodies == [b'{"prompt":"x"}']


@pytest.mark.parametrize("path", ["/prefix/v1/completions", "/v1/completions"])
def test_a_path_is_known_below_the_root_path(path: str) -> None:
    engine = Engine()
    ask(engine, path=path, **PREFIX)
    assert "cache_salt" in engine.request


def test_reading_needs_no_salt() -> None:
    engine = Engine()
    assert ask(engine, (b"",), path="/v1/models", method="GET").status == 200
    assert engine.bodies == [b""]


@pytest.mark.parametrize(
    "tenant", [b"", b"Ada", b"-ada", b"a" * 64, b"ada\n", b"ada,bob", "ä".encode(), b"(local)"]
)
def test_what_is_no_name_of_a_tenant_is_refused(tenant: bytes) -> None:
    engine = Engine()
    assert ask(engine, tenant=tenant).status == 400
    assert engine.scopes == []


def test_two_tenants_are_none() -> None:
    engine = Engine()
    assert ask(engine, headers=[(b"X-Fortyninety-Tenant", b"ada")]).status == 400
    assert engine.scopes == []


def test_a_websocket_is_refused() -> None:
    engine = Engine()
    asked = ask(engine, tenant=None, type="websocket")
    assert asked.sent == [{"type": "websocket.close", "code": 1008}]
    assert engine.scopes == []


def test_the_engine_starts_and_ends_as_without() -> None:
    engine = Engine()
    ask(engine, type="lifespan")
    assert [scope["type"] for scope in engine.scopes] == ["lifespan"]


def test_a_stream_passes_event_for_event() -> None:
    asked = ask(stream())
    assert [each["body"] for each in asked.sent[1:]] == [*EVENTS, b""]


def test_an_event_is_sent_before_the_engine_makes_the_next() -> None:
    order: list[str] = []

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for each in ("1", "2"):
            order.append(f"made {each}")
            await send({"type": "http.response.body", "body": each.encode(), "more_body": True})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        order.append(f"sent {message.get('body', b'start').decode()}")

    app = TenantMiddleware(engine, secret=SECRET, paths=["/p"], counters=Added())
    asyncio.run(app({"type": "http", "method": "POST", "path": "/p", "headers": []}, receive, send))
    assert order == ["sent start", "made 1", "sent 1", "made 2", "sent 2"]


def test_the_engine_hears_that_the_client_left() -> None:
    heard: list[str] = []

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])

    ask(engine)
    assert heard == ["http.request", "http.disconnect"]


def test_a_client_that_leaves_within_its_body_costs_the_engine_nothing() -> None:
    engine = Engine()
    assert ask(engine, (b'{"prompt"', b':"x"}'), left_after=1).sent == []
    assert engine.scopes == []


@pytest.mark.parametrize(
    ("engine", "tenant", "added"),
    [
        (Engine(), b"ada", ("ada", "whole", 7, 3)),
        (Engine(), None, ("(local)", "whole", 7, 3)),
        (stream(), b"ada", ("ada", "whole", 7, 3)),
        (stream(usage=None), b"ada", ("ada", "cut", 0, 2)),
        (Engine(usage=None), b"ada", ("ada", "cut", 0, 0)),
        (Engine(status=400), b"ada", ("ada", "refused", 0, 0)),
    ],
)
def test_tokens_are_counted_for_their_tenant(
    engine: Engine, tenant: bytes | None, added: tuple[str, str, int, int]
) -> None:
    counters = Added()
    ask(engine, tenant=tenant, counters=counters)
    assert counters.all == [added]


def test_a_request_that_ends_in_an_exception_is_counted_and_still_ends_in_it() -> None:
    counters = Added()

    async def engine(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        ask(engine, counters=counters)
    assert counters.all == [("ada", "cut", 0, 1)]


@pytest.mark.parametrize(
    ("secret", "paths", "says"),
    [
        (None, "/p", "no LoadCredential=tenant-secret"),
        ("", "/p", "something else than 64 hexadecimal digits"),
        ("ab" * 31, "/p", "something else than 64 hexadecimal digits"),
        ("ab" * 32, "", "FORTYNINETY_SALTED_PATHS names no paths"),
        ("ab" * 32, "/p:/q", ""),
    ],
)
def test_without_its_secret_the_engine_does_not_start(
    tmp_path: Path, secret: str | None, paths: str, says: str
) -> None:
    """From the archive that hosts get, with as much of prometheus_client as it asks for."""
    (tmp_path / "tenants").write_bytes(importable(TENANTS))
    (tmp_path / "prometheus_client.py").write_text(
        "class Counter:\n    def __init__(self, *a): pass\n    def labels(self, *a): pass\n"
    )
    environment = {
        "PYTHONPATH": f"{tmp_path}/tenants:{tmp_path}",
        "FORTYNINETY_SALTED_PATHS": paths,
    }
    if secret is not None:
        (tmp_path / "tenant-secret").write_text(secret and f"{secret}\n")
        environment["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    ran = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            "from fortyninety.on_host.tenants.engine import Tenants as T; T(0)",
        ],
        env={"PATH": os.environ["PATH"], **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, says in ran.stderr) == (1 if says else 0, True)
    assert not secret or secret not in ran.stderr
