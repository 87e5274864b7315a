"""What an engine that is somebody else's answers: an error in one line, in bounded time.

A real server on loopback sends each answer byte by byte as it stands here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import ROOT

HOST = ROOT / "fortyninety" / "on_host"
PROGRAM = HOST / "complete.py"
MODELS = {"data": [{"id": "m"}]}
COMPLETION = {
    "usage": {"completion_tokens": 1},
    "choices": [{"message": {"content": "Hello"}}],
}


def http(body: object, *, head: str = "HTTP/1.1 200 OK", **headers: str) -> bytes:
    """An answer of a server; a body that is neither text nor bytes as JSON."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    given = {"Content-Length": str(len(body)), **headers}
    lines = [head, *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Engine:
    """A server whose answers are those of `answers`, by the end of the path that is asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {"models": http(MODELS), "completions": http(COMPLETION)}
        # Sent again and again behind an answer, until the other end has had enough.
        self.endless = b""
        # Seconds between two bytes.
        self.drip = 0.0
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    path = connection.recv(65536).split()[1].decode()
                    self.asked.append(path)
                    self._answer(connection, self.answers.get(path.rpartition("/")[2], b""))
                except OSError:
                    continue

    def _answer(self, connection: socket.socket, answer: bytes) -> None:
        for byte in answer if self.drip else ():
            connection.sendall(bytes([byte]))
            time.sleep(self.drip)
        if not self.drip:
            connection.sendall(answer)
        while self.endless:
            connection.sendall(self.endless)
            time.sleep(self.drip)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """The program's functions."""
    return runpy.run_path(str(PROGRAM))


@pytest.fixture
def hasty(program: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, with a fifth of a second for an answer."""
    scope = program["request"].__globals__
    before, scope["REQUEST_TIMEOUT"] = scope["REQUEST_TIMEOUT"], 0.2
    yield program
    scope["REQUEST_TIMEOUT"] = before


@pytest.mark.parametrize("listed", ["m", "another"])
def test_one_that_lists_its_model_and_answers_nothing_is_not_waited_for_to_the_end(
    program: dict[str, Any], engine: Engine, monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    """Of one that serves another model nobody knows whether the right one is still to come."""
    scope = program["wait"].__globals__
    monkeypatch.setitem(scope, "HUNG", 0.1)
    monkeypatch.setitem(scope, "RETRY_INTERVAL", 0.01)
    engine.answers["models"] = http({"data": [{"id": listed}]})
    engine.answers["completions"] = http(b"", head="HTTP/1.1 500 No")
    hangs = listed == "m"
    given = argparse.Namespace(
        unit=None, headless=False, port=engine.port, model="m", wait=60 if hangs else 0.5
    )
    result, ended, waited = program["wait"](given)
    assert "error" in result and not ended
    assert (waited < given.wait) is hangs


@pytest.mark.parametrize("busy", [True, False])
def test_one_that_answers_others_first_does_not_hang(
    program: dict[str, Any], monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    scope, tokens = program["wait"].__globals__, itertools.count()
    monkeypatch.setitem(scope, "HUNG", 0.1)
    monkeypatch.setitem(scope, "RETRY_INTERVAL", 0.01)
    monkeypatch.setitem(scope, "tried", lambda port, model: ({"error": "timed out"}, True))
    monkeypatch.setitem(
        scope, "progress", lambda port, metrics: {"progress": [next(tokens) if busy else 1.0]}
    )
    given = argparse.Namespace(
        unit=None, headless=False, port=1, model="m", wait=0.5 if busy else 60
    )
    assert (program["wait"](given)[2] < given.wait) is not busy


def completion(**changed: object) -> bytes:
    return http({**COMPLETION, **changed})


NESTED = b'{"usage": ' + b"[" * 200_000
ALMOST_TOO_DEEP = b'{"usage": ' + b"[" * 900 + b"]" * 900 + b"}"
ODD_COMPLETIONS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a status line": b"HTTP/1.1",
    "a status that is no number": http(COMPLETION, head="HTTP/1.1 abc OK"),
    "a body that ends early": http(b"{", Content_Length="500"),
    "a chunk that ends early": http(b"500\r\n{", Transfer_Encoding="chunked"),
    "a chunk size that is no number": http(b"zz\r\n{}", Transfer_Encoding="chunked"),
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "a thousand headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n{}",
    "an error": http("no\x1b[2J\n\r\x00way", head="HTTP/1.1 500 \x1b[31mred"),
    "an error that ends early": http("no", head="HTTP/1.1 503 No", Transfer_Encoding="chunked"),
    "another place": http("", head="HTTP/1.1 302 Found", Location="http://127.0.0.1:1/"),
    "no JSON": http("<html>"),
    "no UTF-8": http(b'{"a": "\xff\xfe"}'),
    "a list": http([COMPLETION]),
    "a number": http(b"7"),
    "NaN": http(b'{"usage": {"completion_tokens": NaN}}'),
    "nested for ever": http(NESTED),
    "nested almost too deep": http(ALMOST_TOO_DEEP),
    "a number of 100,000 digits": http(b'{"usage": ' + b"9" * 100_000 + b"}"),
    "usage of null": completion(usage=None),
    "usage that is a list": completion(usage=[1]),
    "tokens in quotes": completion(usage={"completion_tokens": "1"}),
    "tokens that are true": completion(usage={"completion_tokens": True}),
    "no tokens": completion(usage={"completion_tokens": 0}),
    "less than no tokens": completion(usage={"completion_tokens": -1}),
    "choices that are no list": completion(choices={"0": 1}),
    "no choice": completion(choices=[]),
    "a choice of null": completion(choices=[None]),
    "a message of text": completion(choices=[{"message": "Hello"}]),
    "a text of null": completion(choices=[{"message": {"content": None}}]),
    "a text of numbers": completion(choices=[{"message": {"content": [1, 2]}}]),
}


@pytest.mark.parametrize("answer", ODD_COMPLETIONS.values(), ids=ODD_COMPLETIONS.keys())
@pytest.mark.parametrize("path", ["models", "completions"])
def test_an_odd_answer_is_an_error_in_one_printable_line(
    engine: Engine, program: dict[str, Any], answer: bytes, path: str
) -> None:
    engine.answers[path] = answer
    found = program["attempt"](engine.port, "m")
    assert found.keys() == {"error"}, found
    error = found["error"]
    assert error
    assert error.isprintable()
    assert len(error) <= 300
    assert len(engine.asked) == (1 if path == "models" else 2), "no redirection is followed"


@pytest.mark.parametrize(
    "models", [{"data": None}, {"data": {"id": "m"}}, {"data": ["m", 7, None]}, {}, {"data": []}]
)
def test_a_list_of_models_that_is_none_is_an_error(
    engine: Engine, program: dict[str, Any], models: object
) -> None:
    engine.answers["models"] = http(models)
    assert program["attempt"](engine.port, "m").keys() == {"error"}


def test_an_answer_without_end_is_left_at_its_bound(
    engine: Engine, program: dict[str, Any]
) -> None:
    engine.answers["completions"] = b"HTTP/1.1 200 OK\r\n\r\n"
    engine.endless = b"x" * 65536
    engine.answers["models"] = engine.answers["completions"]
    found = program["attempt"](engine.port, "m")
    assert found == {"error": "more than 4194304 bytes came from /v1/models"}


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "in its headers": (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "in its body": (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "in its trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X: x\r\n",
    ),
    "before its status": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS.keys())
def test_an_answer_that_drips_ends_in_time(
    engine: Engine, hasty: dict[str, Any], begin: bytes, more: bytes
) -> None:
    """Each byte comes in time, and the whole never does."""
    engine.answers["models"] = begin
    engine.drip, engine.endless = 0.001, more
    began = time.monotonic()
    found = hasty["attempt"](engine.port, "m")
    assert found == {"error": "timed out"}
    assert time.monotonic() - began < 60


def test_a_completion_is_shown_without_what_moves_a_terminal(
    engine: Engine, program: dict[str, Any]
) -> None:
    text = "He\x1b]0;gone\x07llo\u202e\r\n" + "x" * 1000
    engine.answers["completions"] = completion(choices=[{"message": {"content": text}}])
    found = program["attempt"](engine.port, "m")
    assert found["tokens"] == 1
    assert found["answer"].startswith("He ]0;gone llo")
    assert found["answer"].isprintable()
    assert len(found["answer"]) == 300


METRICS = (
    'm{a="b"} 7\nother 1\nm 1.5\nm NaN\nm inf\nm seven\nm\nm{} ' + "9" * 5000 + "\nm 2e3\x1b[2J\n"
)


def test_metrics_are_finite_numbers(engine: Engine, program: dict[str, Any]) -> None:
    engine.answers["metrics"] = http(METRICS)
    assert program["progress"](engine.port, ["m"]) == {"progress": [7.0, 1.5]}
    engine.answers["metrics"] = http(b"m 7\n", Transfer_Encoding="chunked")
    assert program["progress"](engine.port, ["m"]).keys() == {"error"}


@pytest.mark.parametrize(
    "status",
    ["x\x85ActiveState=active\x85StatusText=: serving", "x\u2028NRestarts=a: serving", "x\ry\x0bz"],
)
def test_a_status_adds_no_property_of_systemds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: dict[str, Any], status: str
) -> None:
    """What a unit says of itself holds other ends of a line than systemd's own."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f"#!/bin/sh\ncat <<'end'\nActiveState=inactive\nStatusText={status}\nend\n"
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = program["heads_answer"]("vllm.service")
    assert found.keys() == {"error"}
    assert found["error"].isprintable()


@pytest.mark.parametrize("says", ["", "ActiveState", "ActiveState=active\nNRestarts=x\nSubState=y"])
def test_a_systemd_that_says_something_else_is_no_traceback(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\ncat <<'end'\n{says}\nend\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    ran = run(engine, "--model", "m", "--wait", "9", "--unit", "vllm.service")
    assert ran.returncode == 1
    assert "systemd cannot be asked: " in ran.stderr
    assert "Traceback" not in ran.stderr


def run(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    """The program itself, as the host runs it."""
    return subprocess.run(
        [sys.executable, str(PROGRAM), "--port", str(engine.port), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_program_ends_with_one_object_whatever_comes(engine: Engine) -> None:
    assert json.loads(run(engine, "--model", "m").stdout) == {"answer": "Hello", "tokens": 1}
    engine.answers["completions"] = ODD_COMPLETIONS["a chunk that ends early"]
    ran = run(engine, "--model", "m")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert json.loads(ran.stdout).keys() == {"error"}
    engine.answers["metrics"] = http("m 3\n")
    assert json.loads(run(engine, "--progress", "m").stdout) == {"progress": [3.0]}
