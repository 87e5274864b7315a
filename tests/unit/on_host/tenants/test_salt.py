"""Only requests of one tenant share its salt, and no client chooses one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fortyninety.on_host.tenants.middleware import LARGEST_BODY
from fortyninety.on_host.tenants.salt import salt_of
from tests.unit.on_host.tenants.asgi_client import PATHS, SECRET, Asked, Engine, ask

FORGED = "forged-by-the-client"
OWN = salt_of(SECRET, "ada")


def reached(*parts: bytes, **options: Any) -> tuple[Engine, Asked]:
    """The engine after a request, and what the client got."""
    engine = Engine()
    return engine, ask(engine, parts, **options)


def test_a_salt_is_of_one_tenant_and_of_one_box() -> None:
    tenants = [None, "local", "tenant", "a", "ada", "ada-1", "ad"]
    salts = {salt_of(secret, each) for each in tenants for secret in (SECRET, b"another" * 5)}
    assert len(salts) == 2 * len(tenants)
    # What the engine takes: up to 128 characters, and not all.
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in salts)


@pytest.mark.parametrize("tenant", [b"ada", None])
@pytest.mark.parametrize("path", PATHS)
def test_a_request_has_the_salt_of_its_tenant(tenant: bytes | None, path: str) -> None:
    engine, _ = reached(b'{"prompt":"x","n":1.5}', tenant=tenant, path=path)
    name = None if tenant is None else tenant.decode()
    assert engine.request == {"prompt": "x", "n": 1.5, "cache_salt": salt_of(SECRET, name)}


FORGERIES = [
    b'{"cache_salt":"%s"}',
    b'{"cache_salt":"%s","cache_salt":"%s"}',
    b'{"cache_salt":null,"prompt":"x","cache_salt":"%s"}',
    b'{"cache\\u005fsalt":"%s"}',
    b'{"\\u0063ache_salt":"%s","cache_salt":["%s"]}',
    b'\xef\xbb\xbf{"cache_salt":"%s"}',
    b' \r\n\t{"cache_salt":{"cache_salt":"%s"}}',
]


@pytest.mark.parametrize("form", FORGERIES)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"]
)
@pytest.mark.parametrize("kind", [b"application/json", b"text/plain", b"application/json;utf-16"])
def test_a_forged_salt_never_reaches_the_engine(form: bytes, encoding: str, kind: bytes) -> None:
    text = form.replace(b"%s", FORGED.encode()).decode()
    engine, asked = reached(text.encode(encoding), headers=[(b"content-type", kind)])
    if not engine.bodies:
        # Two marks of the order of bytes are no JSON to anybody.
        assert asked.status == 400
        return
    assert FORGED.encode() not in engine.bodies[0]
    assert engine.request["cache_salt"] == OWN


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
    lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner),
    max_leaves=8,
)
# How long an example takes is a matter of the machine.
however_long = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@however_long
@given(some.dictionaries(some.text() | some.just("cache_salt"), VALUES), some.booleans())
def test_all_else_of_a_request_stays(request: dict[str, Any], ascii_alone: bool) -> None:
    body = json.dumps(request, ensure_ascii=ascii_alone).encode(errors="surrogatepass")
    engine, asked = reached(body)
    if not engine.bodies:
        assert asked.status == 400
        return
    # As text: NaN is like no other.
    expected = {**json.loads(body), "cache_salt": OWN}
    assert json.dumps(engine.request, sort_keys=True) == json.dumps(expected, sort_keys=True)


@however_long
@given(some.binary(max_size=60))
def test_no_bytes_at_all_reach_the_engine_without_the_salt(body: bytes) -> None:
    engine, asked = reached(body)
    assert asked.status == 400 or engine.request["cache_salt"] == OWN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"{}"',
        b"null",
        b'{"cache_salt":"x"',
        b"{'cache_salt':'x'}",
        b"\xff\xfe{",
        b"[" * 200_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_object_is_refused_as_the_api_refuses(body: bytes) -> None:
    engine, asked = reached(body)
    assert (asked.status, engine.scopes) == (400, [])
    assert json.loads(asked.body)["error"]["code"] == "invalid_json"


def test_a_body_in_chunks_is_one_body_and_its_length_is_right() -> None:
    chunked = [(b"transfer-encoding", b"chunked"), (b"Content-Length", b"3")]
    engine, _ = reached(b'{"cache', b"", b'_salt":"x"', b"}", headers=chunked)
    assert engine.request == {"cache_salt": OWN}
    names = [name.lower() for name, _ in engine.scopes[0]["headers"]]
    assert (names.count(b"content-length"), names.count(b"transfer-encoding")) == (1, 0)
    assert dict(engine.scopes[0]["headers"])[b"content-length"] == b"%d" % len(engine.bodies[0])


def test_a_body_without_end_is_not_kept() -> None:
    part = b" " * (LARGEST_BODY // 4)
    engine, asked = reached(*[part] * 5)
    assert (asked.status, engine.scopes) == (413, [])
