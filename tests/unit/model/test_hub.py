"""What this machine sends to a hub, and how much of an answer it takes."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fortyninety.model.hub import Hub, HubError, shown_address
from tests.unit.serving_tls import Stranger, Strangers, reply

TOKEN = "hf_nobody-must-see-this"
MEBIBYTE = 2**20


@pytest.fixture(autouse=True)
def other_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token that a library would take by itself: none of them is ours to send."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_implicit")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login implicit password implicit\n")
    (tmp_path / ".netrc").chmod(0o600)
    file = tmp_path / ".cache" / "huggingface" / "token"
    file.parent.mkdir(parents=True)
    file.write_text("hf_implicit")


def redirect(handler: BaseHTTPRequestHandler, target: str) -> None:
    reply(handler, status=307, Location=target)


@pytest.mark.usefixtures("trusted")
def test_no_token_is_sent_but_the_one_that_was_given(strangers: Strangers) -> None:
    hub = strangers(lambda handler: reply(handler, b"{}"))
    assert Hub(hub.endpoint).page("/a") == {}
    assert Hub(hub.endpoint, TOKEN).page("/a") == {}
    assert hub.tokens == [None, f"Bearer {TOKEN}"]


def test_a_token_never_goes_over_http(strangers: Strangers) -> None:
    hub = strangers(lambda handler: reply(handler, b"{}"), tls=False)
    for checked in (False, True):
        with pytest.raises(HubError, match="is not https") as refused:
            Hub(hub.endpoint, TOKEN, checked=checked)
        assert TOKEN not in str(refused.value)
    assert Hub(hub.endpoint, checked=True).page("/a") == {}
    assert hub.tokens == [None]


@pytest.mark.usefixtures("trusted")
def test_a_token_does_not_follow_a_redirect_to_another_host(strangers: Strangers) -> None:
    other = strangers(lambda handler: reply(handler, b"content"))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        redirect(handler, "/b" if handler.path == "/a" else f"{other.endpoint}/c")

    hub = strangers(answer)
    assert Hub(hub.endpoint, TOKEN).content("/a", most=100) == b"content"
    assert hub.tokens == [f"Bearer {TOKEN}"] * 2
    assert other.tokens == [None]


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://{host}/b", "which is not https"),
        ("//user:secret@{host}/b", "holds a user or a password"),
        ("file:///etc/passwd", "no address"),
        ("https://{host}\\@elsewhere/b", "no address"),
        ("https://[/b", "no address|does not answer"),
        ("/a", "redirects more than 5 times"),
    ],
)
def test_a_redirect_that_leads_astray_is_not_followed(
    strangers: Strangers, target: str, expected: str
) -> None:
    other = strangers(lambda handler: reply(handler, b"content"))
    host = other.endpoint.partition("://")[2]
    hub = strangers(lambda handler: redirect(handler, target.format(host=host)))
    with pytest.raises(HubError, match=expected) as refused:
        Hub(hub.endpoint, TOKEN).content("/a", most=100)
    assert "secret" not in str(refused.value)
    assert other.paths == []


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    strangers: Strangers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    hub = strangers(lambda handler: reply(handler, b"{}"))
    with pytest.raises(HubError, match="no certificate to trust"):
        Hub(hub.endpoint, TOKEN).page("/a")
    assert hub.tokens == []


def endless(stranger: list[Stranger], handler: BaseHTTPRequestHandler, begin: bytes) -> None:
    handler.send_response(200 if handler.path == "/a" else 302)
    handler.send_header("Location", "/redirect")
    handler.send_header("Connection", "close")
    if begin:
        handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(begin)
    while stranger[0].sent < 2048 * MEBIBYTE:
        stranger[0].send(handler, b"0" * 2**16)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("begin", [b"", b"ffffffffff\r\n", b"1;"])
def test_an_endless_answer_is_cut_at_what_was_asked_for(strangers: Strangers, begin: bytes) -> None:
    hubs: list[Stranger] = []
    hubs.append(strangers(lambda handler: endless(hubs, handler, begin)))
    hub = Hub(hubs[0].endpoint)
    with pytest.raises(HubError, match=r"more than 1000 bytes|does not answer"):
        hub.content("/a", most=1000)
    with pytest.raises(HubError, match=r"redirects more than|does not answer"):
        hub.content("/redirect", most=1000)
    if not begin.endswith(b";"):
        assert hub.content("/a", most=1000, span=(0, 8)) == b"0" * 8
    # What the kernel may hold of each answer for both ends of its connection, and no more. How much
    # of that it grants goes by how quickly the two take turns.
    held = sum(
        int(Path(f"/proc/sys/net/ipv4/tcp_{kind}mem").read_text().split()[2]) for kind in "rw"
    )
    assert hubs[0].sent < len(hubs[0].paths) * (held + MEBIBYTE)


@pytest.mark.usefixtures("trusted")
def test_an_answer_that_drips_ends_at_its_time(strangers: Strangers) -> None:
    hubs: list[Stranger] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        while True:
            hubs[0].send(handler, b"X")
            time.sleep(0.02)

    hubs.append(strangers(answer))
    began = time.monotonic()
    with pytest.raises(HubError, match=r"takes more than"):
        Hub(hubs[0].endpoint).content("/a", most=1000, seconds=0.3)
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("trusted")
def test_packed_content_is_not_unpacked(strangers: Strangers) -> None:
    hub = strangers(lambda handler: reply(handler, b"bomb", Content_Encoding="gzip"))
    with pytest.raises(HubError, match="packed"):
        Hub(hub.endpoint).content("/a", most=1000)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 10**5, b'{"a":' * 10**5, b"9" * 10**5, b"\xff\xfe", b"\x80"]
)
def test_json_that_is_none_is_one_line(strangers: Strangers, body: bytes) -> None:
    hub = strangers(lambda handler: reply(handler, body))
    with pytest.raises(HubError, match="is no JSON"):
        Hub(hub.endpoint).page("/a?blobs=true")


@pytest.mark.usefixtures("trusted")
def test_a_span_is_right_where_the_server_ignores_it(strangers: Strangers) -> None:
    hub = strangers(lambda handler: reply(handler, bytes(range(100))))
    assert Hub(hub.endpoint).content("/a", most=100, span=(8, 12)) == bytes(range(8, 12))
    with pytest.raises(HubError, match="no part of a file"):
        Hub(hub.endpoint).content("/a", most=100, span=(10**9, 10**9 + 4))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hub.example/path", "https://hub.example/path"),
        ("https://user:secret@hub.example/path", "https://hub.example/path"),
        ("https://user:se/cret@hub.example/path", "https://user:sehub.example/path"),
        ("https://secret@hub.example", "https://hub.example"),
        ("user:secret@hub.example", "hub.example"),
        ("https://hub.example/path?token=secret", "https://hub.example/path"),
        ("https://hub.example/path#secret", "https://hub.example/path"),
        ("https://hub.example/\x1b[2J\n", "https://hub.example/?[2J?"),
        ("https://hub.example/" + "a" * 300, "https://hub.example/" + "a" * 177 + "..."),
    ],
)
def test_an_address_is_shown_without_what_is_secret(address: str, shown: str) -> None:
    found = shown_address(address)
    assert "secret" not in found
    assert "cret" not in found
    if "se/cret" not in address:
        assert found == shown


@pytest.mark.parametrize(
    "endpoint", ["https://user:secret@hub.example", "https://secret@hub.example/path"]
)
def test_an_address_with_a_password_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(HubError, match="holds a user or a password") as refused:
        Hub(endpoint)
    assert "secret" not in str(refused.value)
