"""An HTTP server that answers what a test says, for engines that are slow, endless or hostile."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
STREAM = HEAD + b"Connection: close\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"

# What is sent for a request, piece by piece.
Answering = Callable[[bytes], Iterable[bytes]]


def event(**content: object) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def said(text: object, finish: object = None) -> bytes:
    return event(choices=[{"delta": {"content": text}, "finish_reason": finish}])


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*pieces, b""))


class OddEngine:
    """Serves one connection after another; `requests` are the bytes that came.

    One that `keeps` answers further requests on a connection, and has to say where an answer ends.
    """

    def __init__(self, answer: Answering, *, keeps: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._keeps = keeps
        self.over = threading.Event()
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port)) as stream:
            yield stream

    def close(self) -> None:
        self.over.set()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            try:
                while (request := _request(connection)) is not None:
                    self.requests.append(request)
                    for piece in self._answer(request):
                        connection.sendall(piece)
                    if not self._keeps:
                        return
            except OSError:
                return


def _request(connection: socket.socket) -> bytes | None:
    """The next request; None at the connection's end."""
    request = b""
    while b"\r\n\r\n" not in request:
        if not (data := connection.recv(65536)):
            return None
        request += data
    head, _, body = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line.partition(b":")[2]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
