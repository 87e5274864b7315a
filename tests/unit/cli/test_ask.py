"""`fortyninety ask`, in processes whose standard library pyinfra may change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fortyninety.checkout import ROOT
from fortyninety.cli import main
from tests.unit.cli.asked_boxes import HELLO, Boxes, Engines, boxes, engines, server, serving
from tests.unit.engine.odd_engine import DONE, STREAM, said
from tests.unit.fleet.imagined_fleet import run_over, survey
from tests.unit.own_process import passed_in_a_process_of_its_own

__all__ = ["boxes", "engines", "server"]


def command(inventory: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "fortyninety", "ask", str(inventory), *words]


def test_what_is_asked_and_answered_over_ssh() -> None:
    cases = Path(__file__).with_name("ask_cases.py")
    assert "10 passed" in passed_in_a_process_of_its_own(cases)


def test_an_answer_is_printed_as_it_comes(boxes: Boxes, engines: Engines) -> None:
    seen = threading.Event()

    def answer(request: bytes) -> Iterator[bytes]:
        if not request.startswith(b"POST"):
            yield from serving()(request)
            return
        yield STREAM + said("first")
        assert seen.wait(60), "the first part was kept back"
        yield said(" second") + DONE

    inventory = boxes(engines(answer).port)
    with subprocess.Popen(
        command(inventory, "Say hello."), cwd=ROOT, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"first"
        seen.set()
        assert b"".join(iter(lambda: process.stdout.read(100), b"")) == b" second\n"


def test_ctrl_c_ends_an_answer_in_the_middle(boxes: Boxes, engines: Engines) -> None:
    def answer(request: bytes) -> Iterator[bytes]:
        if request.startswith(b"POST"):
            yield STREAM + said("first")
            engine.over.wait()
        else:
            yield from serving()(request)

    engine = engines(answer)
    with subprocess.Popen(
        command(boxes(engine.port), "Say hello."),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(5) == b"first"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stdout.read(100) == b"\n"
        assert process.stderr.read(1000) == b"Interrupted\n"


def test_a_conversation_keeps_what_was_answered(boxes: Boxes, engines: Engines) -> None:
    questions = iter(range(9))

    def answer(request: bytes) -> Iterable[bytes]:
        if request.startswith(b"POST") and next(questions) == 1:
            return (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}",)
        return serving(*HELLO)(request)

    engine = engines(answer)
    ran = subprocess.run(
        command(boxes(engine.port), "--chat", "one"),
        cwd=ROOT,
        input="too long\n\nthree",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "Hello.\nHello.\n")
    assert "box-1: the engine is answering HTTP 400: '{}'; expected a whole answer" in ran.stderr
    conversation = json.loads(engine.requests[-1].partition(b"\r\n\r\n")[2])["messages"]
    assert [each["content"] for each in conversation] == ["one", "Hello.", "three"]
    assert [each["role"] for each in conversation] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a prompt, such as"),
        ([" \n"], "expected some text, at most"),
        (["a" * (2**20 + 1)], "expected some text, at most"),
        (["a\udcff"], "no valid UTF-8"),
        (["a", "--chat", "--json"], "give --chat or --json, not both"),
        (["a", "--max-tokens", "0"], "Invalid value for '--max-tokens'"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_a_wrong_question_is_refused_before_any_host_is_asked(words: list[str], said: str) -> None:
    ran = CliRunner().invoke(main, ["ask", "inventory/prod.py", *words])
    assert ran.exit_code == 2
    assert said in ran.stderr


def test_a_host_without_a_connection_is_said_as_one(tmp_path: Path) -> None:
    ran = run_over(tmp_path, "ask", {"box": survey()}, "Hi.", "--json")
    (problem,) = json.loads(ran.stdout)["problems"]
    assert (ran.returncode, problem["subject"]) == (2, "connection")
    assert problem["found"] == "lost: cannot be reached: there is no SSH connection"
