"""Servers on loopback with a certificate, for tests of what this machine sends and believes."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.hub.certificate import make_certificate

LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for 127.0.0.1, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    make_certificate(path, LOOPBACK)
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The certificate, trusted as an operator trusts that of an internal hub."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return certificate


@dataclass
class Stranger:
    """A server that answers as a test says, and keeps what it was asked and told."""

    endpoint: str
    answer: Callable[[BaseHTTPRequestHandler], None]
    paths: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    sent: int = 0

    def send(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """Send a part of a body, and count it once it left."""
        handler.wfile.write(content)
        self.sent += len(content)


Strangers = Callable[..., Stranger]


def reply(
    handler: BaseHTTPRequestHandler, content: bytes = b"", status: int = 200, **headers: str
) -> None:
    """Answer at once with a body and its length."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def strangers(certificate: Path) -> Iterator[Strangers]:
    """Start servers that answer with a function each; with `tls=False` over http."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None], *, tls: bool = True) -> Stranger:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stranger.paths.append(self.path)
                stranger.tokens.append(self.headers.get("Authorization"))
                try:
                    stranger.answer(self)
                except OSError:
                    self.close_connection = True  # The client had enough.

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        server = Server((LOOPBACK, 0), Handler)
        scheme = "https" if tls else "http"
        stranger = Stranger(f"{scheme}://{LOOPBACK}:{server.server_port}", answer)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return stranger

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()
