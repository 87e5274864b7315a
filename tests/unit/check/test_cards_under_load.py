"""How `check` looks at cards under load, and that it finds nothing right of those without one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import testinfra

from tests.host import under_load
from tests.unit.readings import settings

# As an H200 says it with nothing to do.
IDLE = "0, 78.49, 700.00, 37"


class _Engine(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, _Server)
        with self.server.asked.open("a") as asked:
            asked.write("x")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        # Before the last of it, which is what the client waits for.
        with (self.server.asked.parent / "answered").open("a") as answered:
            answered.write("x")
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    # Grows by a letter with each question.
    asked: Path


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), _Engine)
    server.asked = tmp_path / "asked"
    server.asked.touch()
    (tmp_path / "answered").touch()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What nvidia-smi of this machine prints."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/shown"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(under_load, "BETWEEN_LOOKS", 0)
    (tmp_path / "shown").write_text(f"{IDLE}\n")
    return tmp_path / "shown"


def answers(shows: Path, script: str) -> None:
    """Have nvidia-smi of this machine run a script, beside the file that it prints by itself."""
    (shows.parent / "nvidia-smi").write_text(f'#!/bin/sh\ncd "{shows.parent}"\n{script}\n')


def look(port: int) -> list[list[str]]:
    return under_load.cards_under_load(testinfra.get_host("local://"), settings(port=port))


@pytest.mark.usefixtures("shows")
def test_cards_are_looked_at_while_the_engine_answers(engine: int) -> None:
    assert look(engine) == [IDLE.split(", ")] * 5


def test_an_engine_that_is_done_at_once_is_asked_until_the_last_look(
    engine: int, shows: Path
) -> None:
    # The second look is over once the engine was asked again during the looks, or never was.
    answers(
        shows,
        """
if [ -e looked ]; then
    for i in $(seq 600); do
        [ "$(wc -c < asked)" -gt 8 ] && break
        sleep 0.1
    done
    [ "$(wc -c < asked)" -gt 8 ] && cat shown || echo 0, asked no more, 0, 0
else
    touch looked; cat shown
fi
""",
    )
    assert look(engine) == [IDLE.split(", ")] * 5


def test_what_the_first_question_compiles_is_over_at_the_first_look(
    engine: int, shows: Path
) -> None:
    answers(
        shows,
        '[ "$(wc -c < answered)" -ge 4 ] && cat shown || echo 0, not served before, 0, 0',
    )
    assert look(engine) == [IDLE.split(", ")] * 5


def test_no_card_says_nothing_of_a_load(engine: int, shows: Path) -> None:
    shows.write_text("")
    with pytest.raises(AssertionError, match="shows no card under load"):
        look(engine)


@pytest.mark.usefixtures("shows")
def test_cards_without_a_load_say_nothing_of_one() -> None:
    # Bound and not listened on: refused, and nobody else's.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(AssertionError, match="the cards had no load"):
            look(closed.getsockname()[1])
