"""An engine that can be stopped, holds back what a test wants held, and keeps what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.gateway import openai_answers

LOOPBACK = "127.0.0.1"
# Far above what anything takes: a test that waits so long has failed.
PATIENCE = 60


@dataclass
class Asked:
    """A request as the engine got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeEngine:
    """Answers completions, by events of a stream where it is asked for them.

    `next_event` is what each event of a stream waits for, and `go_on` each other completion.
    """

    asked: list[Asked] = field(default_factory=list)
    next_event: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    go_on: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    # For each request that ended it.
    died: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    # What it says of what it has under way; "" where it says nothing of that.
    metrics: str = ""

    # Hangs up on every completion.
    mute: bool = False

    # How many tokens it says that a completion has, whatever was asked for.
    says_tokens: int = 1

    def __post_init__(self) -> None:
        self.go_on.set()
        self._server: ThreadingHTTPServer | None = None
        self._open: set[socket.socket] = set()
        # Keeps the port while the engine is down: what is bound and does not listen refuses.
        self._keeper = socket.socket()
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._keeper.bind((LOOPBACK, 0))
        self.port: int = self._keeper.getsockname()[1]

    def start(self) -> None:
        """Listen."""
        engine = self

        class Handler(_Handler):
            fake = engine

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True
            allow_reuse_port = True

            def server_bind(self) -> None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                super().server_bind()

            def process_request(self, request: Any, client_address: Any) -> None:
                # Before its thread begins: one that is about to begin is ended by `die` too.
                engine._open.add(request)
                super().process_request(request, client_address)

            def finish_request(self, request: Any, client_address: Any) -> None:
                try:
                    super().finish_request(request, client_address)
                finally:
                    engine._open.discard(request)

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # Who asked hung up.

        self._server = Server((LOOPBACK, self.port), Handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def die(self) -> None:
        """Refuse connections, and end those that there are, without another byte."""
        self.stop()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the port too."""
        self.go_on.set()
        self.stop()
        self._keeper.close()

    def of_path(self, path: str) -> list[Asked]:
        """What was asked for there, but for the gateway's own probe."""
        return [each for each in self.asked if each.path == path and b'"1"' not in each.body]


class _Handler(BaseHTTPRequestHandler):
    fake: FakeEngine
    protocol_version = "HTTP/1.1"
    # An answer's head leaves with its body. One that ends between the two is another matter: nobody
    # can ask again for it.
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._send(self.fake.metrics.encode(), "text/plain")
            return
        self._keep(b"")
        self._json(openai_answers.models())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._keep(body)
        asked = json.loads(body)
        if self.fake.mute:
            self.close_connection = True
            return
        if asked.get("prompt") == "die":
            # Once: the connection ends without a byte of an answer.
            if sum(b'"die"' in each.body for each in self.fake.asked) == 1:
                self.close_connection = True
                return
        elif asked.get("prompt") == "kill":
            self.close_connection = True
            self.fake.die()
            self.fake.died.release()
            return
        elif asked.get("prompt") != "1":
            self.fake.arrived.release()
            if not asked.get("stream"):
                self.fake.go_on.wait(PATIENCE)
        chat = self.path == "/v1/chat/completions"
        if asked.get("stream"):
            numbers = [str(number) for number in range(asked.get("events", 0))]
            chunks = [json.dumps(chunk) for chunk in openai_answers.chat_chunks()]
            self._stream([*chunks, "[DONE]"] if chat else numbers)
        elif chat and asked["model"] != openai_answers.MODEL:
            self._json(openai_answers.unknown_model(asked["model"]), 404)
        elif chat:
            self._json(openai_answers.chat(asked))
        else:
            usage: dict[str, object] = {"completion_tokens": self.fake.says_tokens}
            self._json({"choices": [{"text": "so"}], "usage": usage})

    def _keep(self, body: bytes) -> None:
        self.fake.asked.append(Asked(self.command, self.path, dict(self.headers), body))

    def _json(self, page: dict[str, object], status: int = 200) -> None:
        self._send(json.dumps(page).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, events: list[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for text in events:
            if not self.fake.next_event.acquire(timeout=PATIENCE):
                return
            event = f"data: {text}\n\n".encode()
            self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass
