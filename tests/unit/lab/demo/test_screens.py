"""The demonstration ends with a screen of 80 by 24 that says what failed and what to do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from lab import progress
from lab.demo import __main__ as demo
from lab.demo.__main__ import Failed
from lab.demo.screens import log_file, print_failure, print_stopped
from lab.progress import Activity

ROWS, COLUMNS = 24, 80


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal's console whose output is kept, and a lab without hosts."""
    monkeypatch.setenv("FORTYNINETY_LAB_DIR", str(tmp_path))
    return Console(file=io.StringIO(), width=COLUMNS, highlight=False)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_long_cause_leaves_room_for_what_to_do(console: Console) -> None:
    log_file().write_text("everything\n")
    print_failure(
        console, "Deploy, Gate: Wait", [f"{number} " + "word " * 60 for number in range(90)]
    )
    lines = printed(console).strip().splitlines()
    assert len(lines) <= ROWS - 2  # with the prompt below
    assert max(len(line) for line in lines if str(log_file()) not in line) <= COLUMNS
    assert lines[0] == "bin/demo failed. Deploy, Gate: Wait"
    assert lines[1].startswith("  0 word")
    assert any("run bin/demo again" in line for line in lines)
    assert any(str(log_file()) in line for line in lines)


def test_what_a_host_printed_is_not_taken_for_markup(console: Console) -> None:
    print_failure(console, "Deploy, [bold]", ["[/bold] [red]Error"])
    assert "[bold]" in printed(console)
    assert "[/bold] [red]Error" in printed(console)


def test_a_log_that_is_not_there_is_not_named(console: Console) -> None:
    print_stopped(console, "Lab")
    assert "demo.log" not in printed(console)
    assert "lab down" in printed(console)


@pytest.mark.parametrize(
    ("raised", "exit_code", "said"),
    [
        (Failed("Deploy, CUDA: Install", ["No space left on device"]), 1, "No space left"),
        (KeyboardInterrupt(), 130, "run bin/demo again"),
    ],
)
def test_the_exit_code_says_whether_it_failed_or_was_stopped(
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    exit_code: int,
    said: str,
) -> None:
    def demonstrate(_: object) -> None:
        raise raised

    monkeypatch.setattr(demo, "_demonstrate", demonstrate)
    monkeypatch.setattr(demo, "console", console)
    assert demo.main() == exit_code
    assert said in printed(console)


def test_an_activity_moves_with_time_and_with_its_detail(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    details = iter(["205 MB received", "812 MB received\nstatus unpacked gcc-14"])
    activity = Activity("Deploy: Driver: Install the driver", lambda: next(details))
    console.print(activity)
    now += 65
    console.print(activity)
    lines = [line.strip() for line in printed(console).splitlines()]
    assert lines[0].endswith("0:00  Deploy: Driver: Install the driver")
    assert lines[1] == "205 MB received"
    assert lines[2].endswith("1:05  Deploy: Driver: Install the driver")
    assert lines[3:] == ["812 MB received", "status unpacked gcc-14"]


def test_an_activity_is_never_wider_than_the_terminal(console: Console) -> None:
    console.print(Activity("x" * 200, lambda: "y" * 200))
    assert [len(line) for line in printed(console).splitlines()] == [COLUMNS, COLUMNS]
