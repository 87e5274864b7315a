"""The program that holds a cell together: real processes and sockets, and `sleep` for an engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from tests.unit.held_port import held_port

PROGRAM = ROOT / "fortyninety" / "on_host" / "cell_member.py"
# Which reads the metrics; completions are counted by a stand-in.
COMPLETE = PROGRAM.with_name("complete.py")
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
STRANGER = "127.0.0.9"
# The program itself, with other limits where a test asks for them.
RUN = """
import importlib.util, json, sys

_, path, limits, *sys.argv[1:] = sys.argv
specification = importlib.util.spec_from_file_location("cell_member", path)
program = importlib.util.module_from_spec(specification)
specification.loader.exec_module(program)
vars(program).update(json.loads(limits))
sys.exit(program.main())
"""
DEADLINE = 60.0


class Runner:
    """A member that runs, and what it told systemd."""

    def __init__(self, process: subprocess.Popen[str], notified: socket.socket) -> None:
        self.process = process
        self._notified = notified
        self._status = ""

    @property
    def status(self) -> str:
        """The latest status, without the member's name."""
        while True:
            try:
                self._status = self._notified.recv(4096).decode()
            except BlockingIOError:
                return self._status.partition(": ")[2]

    def wait_for(self, status: str) -> None:
        """Wait until the status begins with `status`."""
        deadline = time.monotonic() + DEADLINE
        while not self.status.startswith(status):
            assert self.process.poll() is None, f"ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"{self.status!r}; expected {status!r}"
            time.sleep(0.05)

    def ends_with(self) -> int:
        """The exit code, once it has ended."""
        return self.process.wait(DEADLINE)

    def engine(self) -> int:
        """The process id of its engine, which is started just after the status that says so."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + DEADLINE
        while not (found := children.read_text().split()):
            assert time.monotonic() < deadline, "no engine was started"
            time.sleep(0.02)
        return int(found[0])


def gone(process: int) -> None:
    """Wait until a process is gone: who ends it does not wait for the kernel to clear it away."""
    deadline = time.monotonic() + DEADLINE
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < deadline, f"process {process} is there still"
        time.sleep(0.02)


class Cell:
    """Makes members; their engines sleep, and answer from the moment that `answers` is called."""

    def __init__(self, directory: Path, size: int, port: int) -> None:
        self.members: list[Runner] = []
        self.addresses = ADDRESSES[:size]
        self.port = port
        self._directory = directory
        self._mark = directory / "answers"
        self._complete = directory / "complete"
        self._complete.write_text(
            "import os, pathlib, sys\n"
            'if "--progress" in sys.argv:\n'
            f"    os.execv(sys.executable, [sys.executable, {str(COMPLETE)!r}, *sys.argv[1:]])\n"
            f"sys.exit(not pathlib.Path({str(self._mark)!r}).exists())\n"
        )

    def answers(self) -> None:
        """From now on a completion comes back."""
        self._mark.touch()

    def no_longer_answers(self) -> None:
        """From now on none does."""
        self._mark.unlink()

    def start(
        self,
        rank: int,
        *,
        digest: str = "d",
        engine: str = "exec sleep 300",
        answer_port: int = 1,
        ready_timeout: int = 60,
        **seconds: float,
    ) -> Runner:
        """Start the member of `rank`, whose engine is a shell's command line.

        `seconds` are the program's own limits, where it would take minutes to reach them.
        """
        path = str(self._directory / f"notify-{len(self.members)}")
        notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notified.bind(path)
        notified.setblocking(False)
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", RUN, str(PROGRAM), json.dumps(seconds)),
                *("--cell", "a", "--rank", str(rank)),
                *("--members", ",".join(self.addresses), "--link-port", str(self.port)),
                *("--digest", digest, "--answer-port", str(answer_port), "--answer-model", "m"),
                *(
                    "--complete",
                    str(self._complete),
                    "--progress",
                    "m",
                    "--ready-timeout",
                    str(ready_timeout),
                ),
                *("--", "sh", "-c", engine),
            ],
            env={**os.environ, "NOTIFY_SOCKET": path},
            text=True,
        )
        self.members.append(Runner(process, notified))
        return self.members[-1]


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    """A cell of two."""
    yield from _cell(tmp_path, 2)


@pytest.fixture
def cell_of_three(tmp_path: Path) -> Iterator[Cell]:
    yield from _cell(tmp_path, 3)


def _cell(directory: Path, size: int) -> Iterator[Cell]:
    with held_port() as port:
        cell = Cell(directory, size, port)
        yield cell
        for member in cell.members:
            if member.process.poll() is None:
                member.process.terminate()
                member.ends_with()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_engines_start_once_all_are_in_whoever_comes_first(
    cell_of_three: Cell, order: tuple[int, int, int]
) -> None:
    first, second = cell_of_three.start(order[0]), cell_of_three.start(order[1])
    first.wait_for("waiting for ")
    second.wait_for("waiting for ")
    third = cell_of_three.start(order[2])
    for member in (first, second, third):
        member.wait_for("starting the engine")


def test_the_head_says_whom_it_waits_for(cell_of_three: Cell) -> None:
    head = cell_of_three.start(0)
    head.wait_for("waiting for rank 1 (127.0.0.2), rank 2 (127.0.0.3)")
    cell_of_three.start(1)
    head.wait_for("waiting for rank 2 (127.0.0.3)")


def test_every_member_serves_once_the_head_has_answered(cell: Cell) -> None:
    head, other = cell.start(0), cell.start(1)
    other.wait_for("starting the engine")
    head.wait_for("starting the engine")
    cell.answers()
    head.wait_for("serving")
    other.wait_for("serving")


@pytest.mark.parametrize("dying", [0, 1])
def test_an_engine_that_ends_takes_every_member_with_it(cell: Cell, dying: int) -> None:
    members = [cell.start(0), cell.start(1)]
    for member in members:
        member.wait_for("starting the engine")
    engines = [member.engine() for member in members]
    os.kill(engines[dying], signal.SIGKILL)
    assert [member.ends_with() != 0 for member in members] == [True, True]
    gone(engines[1 - dying])


@pytest.mark.parametrize("dying", [0, 1])
def test_a_member_that_ends_takes_every_other_with_it(cell: Cell, dying: int) -> None:
    members = [cell.start(0), cell.start(1)]
    for member in members:
        member.wait_for("starting the engine")
    os.kill(members[dying].engine(), 0)
    members[dying].process.kill()
    assert members[1 - dying].ends_with() == 75


def test_an_engine_that_ends_with_0_is_not_a_success(cell: Cell) -> None:
    head, other = cell.start(0, engine="exit 0"), cell.start(1)
    assert head.ends_with() == 1
    assert other.ends_with() == 75


def test_members_of_different_configurations_never_start_together(cell: Cell) -> None:
    head, other = cell.start(0), cell.start(1, digest="older")
    other.wait_for("waiting for the head (127.0.0.1): the head has another configuration")
    head.wait_for("waiting for rank 1 (127.0.0.2), which has another configuration")
    other.process.terminate()
    assert other.ends_with() == 0
    cell.start(1)
    head.wait_for("starting the engine")


def test_a_stranger_cannot_join_and_learns_nothing(cell: Cell) -> None:
    head = cell.start(0)
    head.wait_for("waiting for ")
    with socket.create_connection(
        ("127.0.0.1", cell.port), timeout=DEADLINE, source_address=(STRANGER, 0)
    ) as stranger:
        stranger.sendall(b"join a 1 d\n")
        assert stranger.recv(100) == b""
    assert head.status.startswith("waiting for rank 1")


def test_a_member_that_comes_back_ends_the_engine_it_is_missing_from(cell: Cell) -> None:
    """After a power cut its old connection hangs until it is missed; it is back before that."""
    head, other = cell.start(0, SILENCE=600.0), cell.start(1)
    head.wait_for("starting the engine")
    other.process.send_signal(signal.SIGSTOP)
    again = cell.start(1)
    assert head.ends_with() == 75
    again.wait_for("waiting for the head")
    other.process.send_signal(signal.SIGCONT)
    assert other.ends_with() == 75


def test_asked_to_stop_it_lets_the_engine_finish_and_ends_well(cell: Cell) -> None:
    head = cell.start(0, engine="trap 'sleep 0.2; exit 0' TERM; while :; do sleep 0.05; done")
    cell.start(1)
    head.wait_for("starting the engine")
    head.process.terminate()
    assert head.ends_with() == 0


def test_one_that_waits_stops_at_once(cell: Cell) -> None:
    other = cell.start(1)
    other.wait_for("waiting for the head")
    other.process.terminate()
    assert other.ends_with() == 0


# Longer than two programs take to ask the engine, on a busy machine too.
HASTY = {"SERVING_INTERVAL": 0.2, "LOADING_INTERVAL": 0.2, "HUNG": 3.0}


def test_an_engine_that_hangs_is_ended_and_every_member_with_it(cell: Cell) -> None:
    head, other = cell.start(0, **HASTY), cell.start(1)
    cell.answers()
    head.wait_for("serving")
    other.wait_for("serving")
    cell.no_longer_answers()
    assert head.ends_with() == 75
    assert other.ends_with() == 75
    assert head.status == "ending the engine: the engine has answered nothing for 3 s"


def test_an_engine_that_is_busy_with_others_requests_is_left_alone(
    cell: Cell, busy_engine: int
) -> None:
    head = cell.start(0, answer_port=busy_engine, **HASTY)
    cell.start(1)
    cell.answers()
    head.wait_for("serving")
    cell.no_longer_answers()
    # Longer than a hung one is given.
    with pytest.raises(subprocess.TimeoutExpired):
        head.process.wait(1.5 * HASTY["HUNG"])


@pytest.fixture
def busy_engine() -> Iterator[int]:
    """The port of an engine whose counters move at every look."""
    tokens = count()

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'm{{model_name="m"}} {next(tokens)}\n'.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_an_engine_with_odd_metrics_goes_on_while_it_answers(cell: Cell) -> None:
    """A page of metrics that ends early is no reason to end an engine."""
    asked = threading.Semaphore(0)

    def answer(engine: socket.socket) -> None:
        while True:
            try:
                connection, _ = engine.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n500\r\nm 1"
                )
            asked.release()

    with socket.create_server(("127.0.0.1", 0)) as engine:
        threading.Thread(target=answer, args=(engine,), daemon=True).start()
        head = cell.start(0, answer_port=engine.getsockname()[1], **HASTY | {"HUNG": 600.0})
        cell.start(1)
        cell.answers()
        head.wait_for("serving")
        for _ in range(3):
            assert asked.acquire(timeout=DEADLINE)
        assert head.process.poll() is None, f"ended: {head.status}"


@pytest.mark.parametrize("silent", [0, 1])
def test_a_member_that_falls_silent_counts_as_gone(cell: Cell, silent: int) -> None:
    """As behind a cut link: no connection ends, and nothing comes."""
    hasty = {"SILENCE": 2.0, "ALIVE_INTERVAL": 0.2}
    members = [cell.start(rank, **hasty) for rank in (0, 1)]
    for member in members:
        member.wait_for("starting the engine")
    members[silent].process.send_signal(signal.SIGSTOP)
    assert members[1 - silent].ends_with() == 75
    assert members[1 - silent].status.endswith("is gone: nothing heard for 2 s")
    members[silent].process.send_signal(signal.SIGCONT)
    assert members[silent].ends_with() == 75


def test_an_engine_that_never_answers_is_ended(cell: Cell) -> None:
    head = cell.start(0, ready_timeout=1, LOADING_INTERVAL=0.2)
    cell.start(1)
    assert head.ends_with() == 75
    assert head.status == "ending the engine: no answer within 1 s of the start"
