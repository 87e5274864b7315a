"""A host that hangs or falls silent, over real SSH to a process that a signal holds still.

Run by test_connection in a process of its own: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import gevent

# First: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from pyinfra.api.command import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from fortyninety.connection import bounded as connection
from fortyninety.connection.bounded import HostLost, bounded
from fortyninety.connection.shell import shell


@dataclass
class Box:
    """A host of a run, and the process that it is."""

    host: Host
    process: int

    def fall_silent(self) -> None:
        os.kill(self.process, signal.SIGSTOP)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, int]]:
    """An SSH server: its process and its port."""
    command = [sys.executable, str(Path(__file__).with_name("ssh_server.py"))]
    # With a hardened host's umask.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, umask=0o077) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.kill()


@pytest.fixture
def boxes(server: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Box]]:
    """Two hosts, connected, whose silence is noticed in seconds: a busy machine answers sooner."""
    monkeypatch.setattr(connection, "QUESTION_INTERVAL", 0.2)
    monkeypatch.setattr(connection, "SILENCE", 2)
    monkeypatch.setattr(connection, "_GRACE", 1)
    data = {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": server[1],
        "ssh_user": "root",
        "ssh_password": "any",
        "ssh_strict_host_key_checking": "no",
    }
    state = State(Inventory(([("box-0", data), ("box-1", data)], {})))
    hosts = list(state.inventory)
    for host in hosts:
        bounded(host)
        host.connect(raise_exceptions=True)
    made = [Box(host, int(shell(host, "echo $SERVER").stdout)) for host in hosts]
    yield made
    for box in made:
        bounded(box.host).close()
        box.host.disconnect()
        with suppress(ProcessLookupError):
            os.kill(box.process, signal.SIGKILL)


def test_a_command_beyond_its_deadline_is_given_up_and_says_what_it_was(boxes: list[Box]) -> None:
    host = boxes[0].host
    began = time.monotonic()
    with pytest.raises(HostLost, match=r"`sleep 60` was not done within 1 s, and may go on there"):
        shell(host, "sleep 60", timeout=1)
    assert time.monotonic() - began < 30
    # The host itself answers, and is asked on.
    assert shell(host, "echo here").stdout == "here"


def test_a_command_does_not_wait_for_what_acknowledges_the_end_of_the_one_before(
    boxes: list[Box],
) -> None:
    transport = bounded(boxes[0].host).transport
    assert transport is not None
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_a_command_makes_is_everybodys_to_read(boxes: list[Box], tmp_path: Path) -> None:
    host = boxes[0].host
    assert shell(host, "umask").stdout in ("0022", "022")
    host.run_shell_command(StringCommand("mkdir", QuoteString(str(tmp_path / "a b"))))
    assert (tmp_path / "a b").stat().st_mode & 0o777 == 0o755


def test_a_deadline_also_ends_a_command_that_closed_its_output(boxes: list[Box]) -> None:
    began = time.monotonic()
    with pytest.raises(HostLost, match="was not done within 1 s"):
        shell(boxes[0].host, "exec >/dev/null 2>&1; sleep 60", timeout=1)
    assert time.monotonic() - began < 30


def test_a_silent_host_fails_alone_and_says_so(boxes: list[Box], tmp_path: Path) -> None:
    silent, other = boxes
    begun, over = (tmp_path / name for name in ("begun", "over"))
    waiting = gevent.spawn(silent.host.run_shell_command, f"echo >{begun}; sleep 60")
    going_on = gevent.spawn(
        shell, other.host, f"until [ -e {over} ]; do sleep 0.05; done; echo done"
    )
    until_there(begun)
    silent.fall_silent()
    succeeded, output = waiting.get(timeout=60)
    assert not succeeded
    assert re.match(r"was silent for \d+ s: its power, its network or its SSH", output.stderr)
    over.touch()
    assert going_on.get(timeout=60).stdout == "done"


def until_there(path: Path) -> None:
    """Wait for a file that a command makes once it is under way."""
    with gevent.Timeout(60):
        while not path.exists():
            gevent.sleep(0.01)


def test_a_silent_host_is_not_waited_for_again(
    boxes: list[Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = boxes[0]
    silent.fall_silent()
    with pytest.raises(HostLost, match="was silent for"):
        shell(silent.host, "echo here", timeout=30)
    # Who waited again would now be late before it is silent.
    monkeypatch.setattr(connection, "SILENCE", 60)
    with pytest.raises(HostLost, match="was silent for"):
        shell(silent.host, "echo here", timeout=1)


def test_a_silent_host_is_noticed_while_it_is_sent_to(boxes: list[Box]) -> None:
    silent = boxes[0]
    silent.fall_silent()
    with pytest.raises(HostLost, match="was silent for"):
        shell(silent.host, "cat", timeout=30, _stdin="x" * 50_000_000)


def test_a_host_that_answers_late_but_within_the_silence_is_kept(
    boxes: list[Box], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE", 5)
    box = boxes[0]
    waiting = gevent.spawn(shell, box.host, "sleep 1.5; echo done")
    for _ in range(3):
        gevent.sleep(0.3)
        box.fall_silent()
        gevent.sleep(0.4)
        os.kill(box.process, signal.SIGCONT)
    assert waiting.get(timeout=60).stdout == "done"


def test_a_connection_that_ends_in_the_middle_is_a_lost_host(
    boxes: list[Box], tmp_path: Path
) -> None:
    box, begun = boxes[0], tmp_path / "begun"
    waiting = gevent.spawn(shell, box.host, f"echo >{begun}; sleep 60")
    until_there(begun)
    os.kill(box.process, signal.SIGKILL)
    with pytest.raises(HostLost, match=f"the connection ended during `echo >{tmp_path}"[:80]):
        waiting.get(timeout=60)


def test_a_host_that_is_back_is_connected_to_anew(boxes: list[Box]) -> None:
    box = boxes[0]
    bounded(box.host).close()
    with pytest.raises(HostLost):
        shell(box.host, "echo here")
    box.host.disconnect()
    box.host.connect(raise_exceptions=True)
    assert shell(box.host, "echo here").stdout == "here"
    box.process = int(shell(box.host, "echo $SERVER").stdout)
    box.fall_silent()
    with pytest.raises(HostLost, match="was silent for"):
        shell(box.host, "sleep 60", timeout=30)


def test_a_login_that_nobody_answers_ends(
    boxes: list[Box], server: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT", 1)
    box = boxes[0]
    box.host.disconnect()
    os.kill(server[0], signal.SIGSTOP)
    try:
        began = time.monotonic()
        box.host.connect(show_errors=False)
        assert time.monotonic() - began < 10
        assert not box.host.connected
    finally:
        os.kill(server[0], signal.SIGCONT)
