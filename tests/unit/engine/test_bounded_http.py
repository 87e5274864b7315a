"""How a request is sent on a connection that is there."""

from __future__ import annotations

import json

import pytest

from fortyninety.engine.bounded_http import Bounds, Unanswered, request

BOUNDS = Bounds(silence=5, whole=5, bytes=1000)


class Wire:
    """Keeps what is sent, and answers."""

    def __init__(self, answer: bytes) -> None:
        self.sent: list[bytes] = []
        self._answer = answer

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, size: int) -> bytes:
        answer, self._answer = self._answer[:size], self._answer[size:]
        return answer

    def settimeout(self, seconds: float | None) -> None:
        del seconds


def test_head_and_body_are_sent_at_once() -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert request(wire, 8000, "/v1/completions", BOUNDS, {"prompt": "x"}).read() == b"ok"
    (sent,) = wire.sent
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/completions HTTP/1.1\r\n") and b"Connection: close" in head
    assert json.loads(body) == {"prompt": "x"}


@pytest.mark.parametrize("answer", [b"", b"no HTTP", b"HTTP/1.1 500 no\r\n\r\n"])
def test_what_is_no_answer_is_said(answer: bytes) -> None:
    with pytest.raises(Unanswered):
        request(Wire(answer), 8000, "/v1/models", BOUNDS)
