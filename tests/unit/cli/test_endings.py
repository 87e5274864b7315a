"""What a command ends with where it gives no answer: never 1, which is one, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from fortyninety.checkout import ROOT
from fortyninety.cli import MODULES, exit_codes, main
from fortyninety.cli.ending import EndingGroup


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, arguments)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect: what every `fit` needs raises what nobody expects, with a terminal's own words."""

    def estimate(*_: object) -> None:
        raise KeyError("left\x1b[2J\nover")

    monkeypatch.setattr("fortyninety.cli.fit.estimate", estimate)


@pytest.mark.usefixtures("broken")
def test_a_defect_ends_with_70_and_one_line_that_says_where_the_traceback_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = run("fit", "--cards", "2x24564")
    assert ended.exit_code == 70
    (line,) = ended.stderr.splitlines()
    assert "defect of fortyninety" in line and "`fortyninety fit`" in line
    assert "Traceback" not in line and line.isprintable()
    (kept,) = tmp_path.iterdir()
    assert str(kept) in line and "in estimate" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("broken")
def test_a_defects_traceback_is_shown_to_who_asks_for_it() -> None:
    ended = run("fit", "--cards", "2x24564", FORTYNINETY_TRACEBACK="1")
    assert ended.exit_code == 70
    assert "Traceback (most recent call last)" in ended.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(), 141),
        (OSError(28, "No space left on device"), 2),
        (OSError(30, "Read-only file system", "/home/me"), 2),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), 2),
        (FileNotFoundError(2, "No such file or directory"), 70),
        (RuntimeError("x"), 70),
        (RecursionError(), 70),
        (click.ClickException("said"), 1),
        (click.UsageError("said"), 2),
        (SystemExit(3), 3),
    ],
)
def test_who_ends_a_command_shows_in_its_exit_code(error: BaseException, code: int) -> None:
    @click.group(cls=EndingGroup)
    def group() -> None: ...

    @group.command()
    def ends() -> None:
        raise error

    ended = CliRunner().invoke(group, ["ends"])
    assert ended.exit_code == code
    assert "Traceback" not in ended.output


def in_a_process_of_its_own(code: str) -> subprocess.CompletedProcess[str]:
    """What a program says that has the command line as `cli`."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys, fortyninety.cli as cli\n{code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ctrl_c_ends_the_console_script_with_130() -> None:
    """By the script that is installed, in a process of its own, with a signal."""
    ended = in_a_process_of_its_own(
        "import os, signal, fortyninety.cli.fit\n"
        # Where the tests run in the background of a shell, it has made them ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def estimate(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "fortyninety.cli.fit.estimate = estimate\n"
        "sys.argv = ['fortyninety', 'fit', '--cards', '2x24564']\n"
        "cli.main()\n"
    )
    assert (ended.returncode, ended.stderr) == (130, "Interrupted\n")


def test_the_lab_is_loaded_by_its_own_commands_alone() -> None:
    ended = in_a_process_of_its_own(
        "import click\n"
        "context = click.Context(cli.main)\n"
        "loaded = [cli.main.get_command(context, each) for each in cli.COMMANDS]\n"
        "assert all(isinstance(each, click.Command) for each in loaded)\n"
        "print(any(each.startswith('lab') for each in sys.modules))\n"
    )
    assert (ended.returncode, ended.stdout) == (0, "False\n"), ended.stderr


def test_what_a_command_does_not_use_is_not_loaded() -> None:
    ended = in_a_process_of_its_own(
        "try: cli.main(['engine', 'list'])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "print(sorted({'fortyninety.cli.deploy', 'paramiko', 'pyinfra'} & set(sys.modules)))"
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]", ended.stdout


def test_a_command_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "models", "not_there")
    ended = run("models", "--json")
    assert ended.exit_code == exit_codes.DEFECT
    assert "ended `fortyninety models`" in ended.stderr and "Traceback" not in ended.output
    assert json.loads(ended.stdout)["command"] == "models"


def test_without_a_checkout_there_is_no_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lab" in run("--help").stdout
    monkeypatch.setattr("fortyninety.cli.ROOT", Path(os.sep))
    assert "lab" not in run("--help").stdout
    assert run("lab", "up").exit_code == 2


@pytest.mark.parametrize(
    "option",
    [
        "--max-num-batched-tokens=0",
        "--max-num-batched-tokens=-1",
        "--max-model-len=0",
        "--max-num-seqs=0",
        "--gpu-memory-utilization=0",
        "--gpu-memory-utilization=nan",
        "--tensor-parallel-size=0",
        "--pipeline-parallel-size=0",
        "--engine=",
        "--engine=0.32.0\x1b[2J",
        "--engine=9" + "9" * 5000 + ".1",
        "--model=",
        "--model=a/b\nc",
        "--model=../x",
    ],
)
def test_a_senseless_number_or_name_is_refused_and_not_passed_over(option: str) -> None:
    ended = run("fit", "--cards", "2x24564", option)
    assert ended.exit_code == 2, ended.output
    assert "\x1b" not in ended.output


@pytest.mark.parametrize("cards", ["9" * 5000 + "x24564", "2x" + "9" * 5000, "٢x24564", "2x24564,"])
def test_cards_that_are_no_numbers_are_refused(cards: str) -> None:
    assert run("fit", "--cards", cards).exit_code == 2


def envelope(ended: Result) -> dict[str, Any]:
    """The one object on standard output, where nothing else is."""
    page: dict[str, Any] = json.loads(ended.stdout)
    assert list(page) == ["command", "exit_code", "problems", "result"]
    assert page["exit_code"] == ended.exit_code
    return page


@pytest.mark.parametrize(
    ("line", "command", "said"),
    [
        ("fit --json --cards", "fit", "requires an argument"),
        ("fit --json --crads=2x24564", "fit", "No such option '--crads'"),
        ("snapshot verify --json", "snapshot verify", "Missing argument 'INVENTORY'"),
        ("snapshot veriyf x.py --json", "snapshot", "No such command 'veriyf'"),
        ("driftt x.py --json", "", "No such command 'driftt'"),
        ("--json drift x.py", "drift", "No such option '--json'"),
        ("engine lock 1.0 --json", "engine lock", "1.0 is not one of"),
    ],
)
def test_a_wrong_call_is_one_object_where_json_is_on_the_line(
    line: str, command: str, said: str
) -> None:
    ended = run(*line.split())
    page = envelope(ended)
    assert (page["command"], page["exit_code"], page["result"]) == (command, 2, None)
    (problem,) = page["problems"]
    assert said in problem["message"] and said in ended.stderr


@pytest.mark.usefixtures("broken")
def test_a_defect_is_one_object_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = envelope(run("fit", "--cards", "2x24564", "--json"))
    assert page["exit_code"] == 70
    assert "defect of fortyninety" in page["problems"][0]["message"]


def test_an_answer_is_in_the_same_object() -> None:
    page = envelope(run("fit", "--cards", "1x24564", "--json"))
    assert (page["command"], page["exit_code"], page["problems"]) == ("fit", 1, [])
    assert page["result"]["fits"] is False
    page = envelope(run("engine", "list", "--json"))
    assert (page["command"], page["exit_code"]) == ("engine list", 0)


def test_what_belongs_to_a_command_behind_two_dashes_asks_for_nothing() -> None:
    assert run("engine", "lock", "1.0", "--", "--json").stdout == ""


def test_what_is_said_of_a_wrong_call_is_bounded_and_obeyed_by_no_terminal() -> None:
    for word in ("x\x1b[2J\ny\u202e", "x" * 100_000):
        for line in (
            (word,),
            ("fit", f"--{word}"),
            ("fit", "--profile", word),
            ("engine", "lock", word),
        ):
            ended = run(*line)
            assert ended.exit_code == 2
            assert all(each.isprintable() for each in ended.stderr.splitlines()), line
            assert max(map(len, ended.stderr.splitlines())) < 1100, line


def test_an_object_that_nobody_reads_ends_with_141() -> None:
    code = (
        "import os, sys, fortyninety.cli as cli\n"
        "reading, writing = os.pipe()\n"
        "os.close(reading)\n"
        "os.dup2(writing, 1)\n"
        "sys.argv = ['fortyninety', 'fit', '--json']\n"
        "cli.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr and "Broken" not in ended.stderr
