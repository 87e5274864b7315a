"""Whatever a host says, a terminal shows it and obeys none of it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from queue import Queue

import click
import pytest
from pyinfra import logger
from pyinfra.connectors import util

from fortyninety.check.report import Result
from fortyninety.checkout import ROOT
from fortyninety.cli.rollback import _line, read_result
from fortyninety.cli.snapshot import read_verdict
from fortyninety.connection import output
from fortyninety.problem import Problem, problem_lines
from fortyninety.survey.records import Unreadable
from fortyninety.text.printable import printable, printable_message

# Clears a screen, names a window, hides what stands before, and turns the direction of writing.
HOSTILE = "a\x1b[2J\x1b]0;b\x07\r\x9bc\u202ed\u2028e\x00f\udc80\u200b"


def is_harmless(text: str) -> bool:
    return all(character.isprintable() for character in text)


def test_what_a_terminal_would_obey_is_escaped_and_the_rest_is_left() -> None:
    assert printable("Grüße, 漢字 | x") == "Grüße, 漢字 | x"
    assert printable("\x1b[31m\r\n") == r"\x1b[31m\r\n"
    assert is_harmless(printable(HOSTILE))
    assert printable("x" * 3000) == "x" * 2000 + " ..."
    message = f"{click.style('Error', fg='red')}: {HOSTILE}\nnext"
    shown = printable_message(message)
    assert shown.startswith("\x1b[31mError\x1b[0m: ")
    assert is_harmless(shown.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\n", ""))


@pytest.mark.parametrize("printed", [HOSTILE.encode("utf-8", "surrogateescape"), bytes(range(256))])
def test_any_bytes_of_a_host_are_lines_without_what_a_terminal_obeys(printed: bytes) -> None:
    queue: Queue[util.OutputLine] = Queue()
    output._read_buffer("stdout", BytesIO(printed + b"\nlast\n"), queue)
    lines = [line.line for line in queue.queue]
    assert lines[-1] == "last"
    assert all(is_harmless(line.replace("\t", "")) for line in lines)


def test_output_without_end_is_cut_and_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MOST_CHARACTERS", 1000)
    monkeypatch.setattr(output, "LONGEST_LINE", 100)
    stream = BytesIO(b"x" * 1_000_000)
    queue: Queue[util.OutputLine] = Queue()
    output._read_buffer("stdout", stream, queue)
    assert sum(len(line.line) for line in queue.queue) < 1100
    assert stream.read() == b""


def test_a_command_over_pyinfra_survives_bytes_that_are_no_text(tmp_path: Path) -> None:
    """In a process of its own: pyinfra patches the standard library."""
    program = tmp_path / "program.py"
    program.write_text(
        "import pyinfra_cli.main\n"
        "from pyinfra.connectors.util import run_local_process\n"
        "from fortyninety.connection import output\n"
        "output.install()\n"
        "code, output = run_local_process(r'printf \"a\\377\\033[2J\\nb\\n\"', print_output=True)\n"
        "print(output.stdout_lines)\n"
    )
    ran = subprocess.run(
        [sys.executable, str(program)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == repr([r"a\xff\x1b[2J", "b"])
    assert "Traceback" not in ran.stderr
    assert "\x1b" not in ran.stderr


def test_whatever_is_logged_of_a_host_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    output.install()
    logger.addHandler(caplog.handler)
    try:
        logger.log(logging.CRITICAL, "[box1] said %s", HOSTILE)
    finally:
        logger.removeHandler(caplog.handler)
    assert is_harmless(caplog.messages[0])


def test_a_problem_is_one_harmless_line() -> None:
    problem = Problem(
        host="box1",
        subject=HOSTILE,
        found=f"x\n    - box2: {HOSTILE}",
        expected=HOSTILE,
        remedy=HOSTILE,
        table=HOSTILE,
    )
    first, table = problem_lines([problem])
    assert is_harmless(first)
    assert is_harmless(table)


def test_a_result_of_a_host_test_is_harmless() -> None:
    result = Result("box1", "service", HOSTILE, "failed", "", f"one\n{HOSTILE}", 1.0)
    read = Result.from_line(result.to_line())
    assert is_harmless(read.test)
    assert is_harmless(read.message.replace("\n", ""))


UNIT = {"release": "1", "configuration": "c", "engine": "/e", "snapshot": "/s", "served_until": 5}


def test_what_a_rollback_did_is_read_and_nothing_else() -> None:
    done = {"from": UNIT, "to": UNIT, "seconds": 1.5, "changed": True}
    assert "from 1 (configuration c) back to 1" in _line(read_result(json.dumps(done)))
    far = {**done, "to": {**UNIT, "served_until": 10**18, "release": HOSTILE}}
    assert is_harmless(_line(read_result(json.dumps(far))))
    failed = read_result(json.dumps({"error": HOSTILE, "details": [HOSTILE], "changed": False}))
    assert is_harmless(failed["error"]) and is_harmless(failed["details"][0])
    for answer in (
        "[]",
        "{}",
        '{"error": 1}',
        '{"error": "x", "changed": "y"}',
        '{"error": "x", "details": "y"}',
        '{"from": [], "to": {}, "seconds": 1}',
        json.dumps({**done, "seconds": "x"}),
        json.dumps({**done, "to": {**UNIT, "served_until": -1}}),
        "[" * 100_000,
    ):
        with pytest.raises(Unreadable):
            read_result(answer)


def test_what_a_verification_found_is_read_and_nothing_else() -> None:
    line = json.dumps({"files": 1, "bytes": 2, "seconds": 0.5, "wrong": [HOSTILE]})
    verdict = read_verdict("box1", "/s", line)
    assert not verdict.whole and is_harmless(verdict.wrong[0])
    for answer in ("{}", '{"wrong": [], "seconds": 1}', '{"wrong": [1]}', '{"wrong": {}}', "null"):
        with pytest.raises(Unreadable):
            read_verdict("box1", "/s", answer)
