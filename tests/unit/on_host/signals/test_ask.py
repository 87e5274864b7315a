"""That nothing that is asked can hold a reading up."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fortyninety.on_host.signals.ask import ask, status_of

PYTHON = [sys.executable, "-S", "-c"]
BRIEFLY = 0.3


def test_what_a_program_prints_is_returned() -> None:
    answer = ask([*PYTHON, "print('é' * 90000)"], seconds=30, most=10**6)
    assert (answer.state, answer.text) == ("answered", "é" * 90000 + "\n")


def test_a_program_that_fails_may_have_said_something() -> None:
    answer = ask([*PYTHON, "print(1); raise SystemExit(3)"], seconds=30, most=99)
    assert (answer.state, answer.text) == ("failed", "1\n")


@pytest.mark.parametrize("path", ["/nowhere/nvidia-smi", "/etc/passwd"])
def test_a_program_that_is_not_there_is_missing(path: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert ask([path], seconds=5, most=99).state == "missing"
    # Threads of earlier tests may close theirs meanwhile.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        # What lets go of its output and stays.
        "import os, time; os.close(1); time.sleep(60)",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
        "time.sleep(60)",
        # What has a child that keeps the output open.
        "import os, time; os.fork() or time.sleep(40); os._exit(0)",
    ],
)
def test_a_program_that_hangs_is_killed(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is killed dies when it gets a core, which a busy machine gives it later.
    monkeypatch.setattr("fortyninety.on_host.signals.ask.DYING", 20)
    began = time.monotonic()
    answer = ask([*PYTHON, code], seconds=BRIEFLY, most=10**6)
    assert (answer.state, answer.text, answer.left) == ("hung", "", 0)
    assert time.monotonic() - began < 30


def test_a_flood_is_no_answer() -> None:
    answer = ask([*PYTHON, "while True: print('x' * 10000)"], seconds=30, most=10**6)
    assert (answer.state, answer.text) == ("hung", "")


@contextmanager
def listening(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of loopback that does so with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\nnot ready", 503),
        (b"", 0),
        (b"SSH-2.0-OpenSSH", 0),
        (b"HTTP/1.1", 0),
    ],
)
def test_a_status_is_read_and_nothing_else(said: bytes, status: int) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(said)

    with listening(behave) as port:
        assert status_of(port, "/health", seconds=10) == status


def test_who_says_nothing_is_waited_for_no_longer() -> None:
    over = threading.Event()
    with listening(lambda connection: bool(over.wait(30)) and None) as port:
        assert status_of(port, "/health", seconds=BRIEFLY) == 0
        over.set()


def test_nobody_listens(closed: int) -> None:
    assert status_of(closed, "/health", seconds=5) is None


def test_a_program_gets_no_secrets_of_its_starter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.chdir(tmp_path)
    answer = ask([*PYTHON, "import os; print(sorted(os.environ))"], seconds=30, most=999)
    assert "TOKEN" not in answer.text and "PATH" in answer.text
