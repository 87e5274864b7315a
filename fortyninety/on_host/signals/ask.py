"""Ask a program or a port of loopback, and never wait longer than was said.

A process in the kernel's hands does not die of SIGKILL: it is left behind and named, so that it is
not asked again while it lives.
"""

import os
import select
import signal
import socket
import time

ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
LOOPBACK = "127.0.0.1"
# Seconds that a killed process has to be gone in.
DYING = 0.3
TICK = 0.002


class Answer:
    """How a program ended ("answered", "failed", "hung", "missing"), and what it printed.

    `left` is the id of its process where that did not even die.
    """

    __slots__ = ("left", "seconds", "state", "text")

    def __init__(self, state: str, text: str = "", seconds: float = 0.0, left: int = 0) -> None:
        self.state, self.text, self.seconds, self.left = state, text, seconds, left


def ask(command: list[str], *, seconds: float, most: int) -> Answer:
    """Run a program, for so many seconds and as many bytes of its output."""
    began = time.monotonic()
    reading, writing = os.pipe()
    try:
        process = os.posix_spawn(
            command[0],
            command,
            ENVIRONMENT,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, writing, 1),
                (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
            ],
        )
    except OSError:
        os.close(reading)
        return Answer("missing")
    finally:
        os.close(writing)
    deadline = began + seconds
    try:
        text, complete = _read(reading, deadline, most)
    finally:
        os.close(reading)
    status = _ended(process, deadline) if complete else None
    if status is None:
        os.kill(process, signal.SIGKILL)
        gone = _ended(process, time.monotonic() + DYING) is not None
        return Answer("hung", "", time.monotonic() - began, 0 if gone else process)
    state = "answered" if status == 0 else "failed"
    return Answer(state, text.decode("utf-8", "replace"), time.monotonic() - began)


def _read(stream: int, deadline: float, most: int) -> tuple[bytes, bool]:
    """What comes until its end, and whether that came in time and was not too much."""
    poll = select.poll()
    poll.register(stream, select.POLLIN | select.POLLHUP)
    text = b""
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            break
        chunk = os.read(stream, 65536)
        if not chunk:
            return text, True
        text += chunk
        if len(text) > most:
            break
    return b"", False


def _ended(process: int, deadline: float) -> int | None:
    """Its exit code, or None where it is still there at the deadline."""
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(TICK)


def status_of(port: int, path: str, *, seconds: float) -> int | None:
    """The HTTP status that a port of loopback answers with; 0 for none, None without a listener."""
    deadline = time.monotonic() + seconds
    try:
        with socket.create_connection((LOOPBACK, port), timeout=seconds) as connection:
            request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            said = b""
            while len(said) < 12 and (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                chunk = connection.recv(4096)
                if not chunk:
                    break
                said += chunk
    except ConnectionRefusedError:
        return None
    except OSError:
        return 0
    words = said.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
