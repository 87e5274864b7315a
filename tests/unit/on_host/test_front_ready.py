"""Whether a front is alive and ready, by what its status port says."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fortyninety.checkout import PACKAGE

PROGRAM = PACKAGE / "on_host" / "front_ready.sh"
READY = b"HTTP/1.1 200 OK\r\n\r\nready"
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready"


@contextmanager
def status_port(answer: bytes | None) -> Iterator[int]:
    """A port that answers one caller; with None it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                if answer is None:
                    connection.recv(1000)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(60)
        assert not thread.is_alive()


def says(question: str, port: int) -> bool:
    ran = subprocess.run(
        ["bash", PROGRAM, question, str(port)], capture_output=True, check=False, timeout=60
    )
    return ran.returncode == 0


@pytest.mark.parametrize(
    ("answer", "alive", "ready"),
    [
        (READY, True, True),
        (NOT_READY, True, False),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False, False),
        (b"nonsense", False, False),
        (b"", False, False),
        (None, False, False),
    ],
)
def test_a_front_is_what_it_says(answer: bytes | None, alive: bool, ready: bool) -> None:
    with status_port(answer) as port:
        assert says("alive", port) == alive
    with status_port(answer) as port:
        assert says("ready", port) == ready


def test_nobody_is_neither(closed: int) -> None:
    assert not says("alive", closed) and not says("ready", closed)
