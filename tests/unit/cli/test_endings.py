"""What a command ends with where it gives no answer: never 1, which is one, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fortyninety.checkout import ROOT
from fortyninety.cli import main
from fortyninety.cli.ending import EndingGroup


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, arguments)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect: what every `fit` needs raises what nobody expects, with a terminal's own words."""

    def estimate(*_: object) -> None:
        raise KeyError("left\x1b[2J\nover")

    # By its module: the package has the command under the same name.
    monkeypatch.setattr(import_module("fortyninety.cli.fit"), "estimate", estimate)


@pytest.mark.usefixtures("broken")
def test_a_defect_ends_with_70_and_one_line_that_says_where_the_traceback_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = run("fit", "--cards", "2x24564")
    assert ended.exit_code == 70
    (line,) = ended.stderr.splitlines()
    assert "defect of fortyninety" in line and "`main fit`" in line
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


def test_ctrl_c_ends_the_console_script_with_130() -> None:
    """By the script that is installed, in a process of its own, with a signal."""
    code = (
        "import os, signal, sys, fortyninety.cli as cli\n"
        # Where the tests run in the background of a shell, it has made them ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def estimate(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.modules['fortyninety.cli.fit'].estimate = estimate\n"
        "sys.argv = ['fortyninety', 'fit', '--cards', '2x24564']\n"
        "cli.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (130, "Interrupted\n")


def test_the_lab_is_loaded_by_its_own_commands_alone() -> None:
    code = "import sys, fortyninety.cli; print(any(each.startswith('lab') for each in sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "False\n"


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
