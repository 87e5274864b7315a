"""The command that a host runs for a start that may fail, in a shell of its own."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from pyinfra.context import ctx_state

from fortyninety.operations.restoring import Restoring, guarded


def ran(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=30
    )


def restoring(program: Path, then: str | None = None) -> Restoring:
    return Restoring(str(program), "/opt/f", "/etc/vllm.service", 8000, 60, "/var/note", then)


def test_the_command_reaches_the_program_as_one_word_whatever_is_in_it(tmp_path: Path) -> None:
    program = tmp_path / "a program's"
    program.write_text(
        "import subprocess, sys\n"
        "assert sys.argv[-4:-1] == ['--', 'sh', '-c'], sys.argv\n"
        "print(sys.argv[sys.argv.index('--then') + 1])\n"
        "sys.exit(subprocess.run(sys.argv[-3:]).returncode)\n"
    )
    command = "echo 'it''s' \"$((1 + 1))\" && { false || { echo no >&2; exit 7; }; }"
    with ctx_state.use(SimpleNamespace(is_executing=False)):
        made = guarded(restoring(program, "true; 'x'"), 5, command)
    done = ran(made.get_raw_value().replace("python3", sys.executable, 1))
    assert (done.returncode, done.stdout, done.stderr) == (7, "true; 'x'\nits 2\n", "no\n")


def test_it_may_take_as_long_as_two_starts(tmp_path: Path) -> None:
    with ctx_state.use(SimpleNamespace(is_executing=False)):
        assert guarded(restoring(tmp_path), 5, "true").connector_arguments["_timeout"] > 5 + 60
    assert guarded(None, 5, "true").connector_arguments["_timeout"] == 5


def test_an_earlier_failure_is_forgotten_by_an_answer_alone(tmp_path: Path) -> None:
    with ctx_state.use(SimpleNamespace(is_executing=False)):
        started = guarded(restoring(tmp_path), 5, "true")
        answered = guarded(restoring(tmp_path), 5, "true", answered=True)
    said = [shlex.split(each.get_raw_value()) for each in (started, answered)]
    assert ["--answered" in words[: words.index("--")] for words in said] == [False, True]
