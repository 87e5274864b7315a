"""What changed hosts, from the line that is written on one to what `fortyninety history` says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from fortyninety.facts.history import Change, Entry, Project, Served, read_history
from tests.unit.fleet.imagined_fleet import Answers, run_over

OLD = Served("0.8.5.post1-0123456789ab", "a" * 16)
NEW = Served("0.32.0-fedcba987654", "b" * 16)
CHANGE = Change(
    what="deploy",
    who="alice@laptop",
    project=Project("0.9.0", "c" * 40, True),
    result="failed",
    why='Gate | Wait: vllm.service does not stay up: it\'s "$(id)" `id` \\n%s',
    stages=("Service", "Gate"),
    count=3,
    before=OLD,
)


def journal_line(message: object, at: int = 1_764_115_200) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": f"{at}000000", "MESSAGE": message})


def written(tmp_path: Path, change: Change, *, running: bool = True) -> str:
    """What a host's journal gets, by its own shell and with tools that stand in for systemd's."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    unit = tmp_path / "vllm.service"
    unit.write_text(f"[Service]\nExecStart=/opt/f/engines/{NEW.engine}/bin/python \\\n  -m x\n")
    note = tmp_path / "vllm.service.note"
    note.write_text(f"{'d' * 32} {NEW.configuration}\n")
    invocation = "d" * 32 if running else ""
    for name, script in {
        "systemctl": f"echo {invocation}",
        "systemd-cat": f'echo "$@" >>{tmp_path}/arguments; cat >>{tmp_path}/journal',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    command = change.note()
    for path, own in {
        "/etc/systemd/system/vllm.service": unit,
        '"/run/fortyninety/$service"': note,
    }.items():
        assert path in command
        command = command.replace(path, str(own))
    subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
        check=True,
    )
    assert (tmp_path / "arguments").read_text() == "--identifier=fortyninety-history\n"
    return (tmp_path / "journal").read_text()


def test_what_is_written_on_a_host_is_what_is_read(tmp_path: Path) -> None:
    text = written(tmp_path, CHANGE)
    assert text.count("\n") == 1
    found = read_history([journal_line(text.rstrip("\n"))])
    assert (found.entries, found.unreadable) == ([Entry(1_764_115_200, CHANGE, NEW)], 0)


def test_a_host_where_nothing_runs_says_so(tmp_path: Path) -> None:
    text = written(tmp_path, CHANGE, running=False)
    (entry,) = read_history([journal_line(text.rstrip("\n"))]).entries
    assert entry.after == Served()


def page(**changes: object) -> str:
    own = json.loads(
        CHANGE.note().partition("change='")[2].partition("'\n")[0].replace("'\"'\"'", "'") + "}"
    )
    return json.dumps(
        {**own, "after": {"engine": NEW.engine, "configuration": NEW.configuration}, **changes}
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{",
        journal_line([27, 91]),
        journal_line("no JSON"),
        journal_line(page(who="alice bob")),
        journal_line(page(result="fine")),
        journal_line(page(changed="yes")),
        journal_line(page(count=-1)),
        journal_line(page(stages="Gate")),
        journal_line(page(commit="main")),
        journal_line(page(before={"engine": "/etc", "configuration": ""})),
        journal_line(page(after=None)),
        json.dumps({"__REALTIME_TIMESTAMP": "-1", "MESSAGE": page()}),
        "[" * 100_000,
    ],
)
def test_a_line_of_another_form_is_counted_and_not_believed(line: str) -> None:
    found = read_history([journal_line(page()), line])
    assert (len(found.entries), found.unreadable) == (1, 1)


def test_what_a_host_says_does_nothing_to_a_terminal() -> None:
    hostile = "a\x1b[2J\rb\u202e" + "x" * 10_000
    (entry,) = read_history(
        [journal_line(page(what=hostile, why=hostile, version=hostile, stages=[hostile] * 40))]
    ).entries
    change = entry.change
    texts = (change.what, change.why, change.project.version, *change.stages)
    assert all(text.isprintable() and len(text) < 700 for text in texts)
    assert len(change.stages) == 30


def answers(*lines: str, succeeds: bool = True) -> Answers:
    return [("--identifier=fortyninety-history", list(lines), succeeds)]


def test_the_changes_of_all_hosts_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    hosts = {
        "box1": answers(
            journal_line(page(who="x" * 90), at=3000), journal_line(page(result="done", why=""))
        ),
        "box2": answers(journal_line(page(what="rollback"), at=2000), "garbage"),
        "box3": answers(succeeds=False),
    }
    ran = run_over(tmp_path, "history", hosts, "--since", "7d", "--most", "5")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    firsts = [line.split()[2] for line in lines[1:] if line[0].isdigit()]
    assert firsts == ["@fake/box2", "@fake/box1", "@fake/box1"]
    assert all(len(line) <= 80 for line in lines), lines
    assert "@fake/box2: 1 lines that are not of this form are left out" in lines
    assert "    0.8.5.post1 aaaaaaaaaaaaaaaa -> 0.32.0 bbbbbbbbbbbbbbbb" in lines
    asked = (tmp_path / "answers.json.commands").read_text()
    assert "--lines=5" in asked and "--since=@" in asked and "_UID=0" in asked

    ran = run_over(tmp_path, "history", hosts, "--json")
    result = json.loads(ran.stdout)["result"]
    assert [each["what"] for each in result["changes"]] == ["rollback", "deploy", "deploy"]
    assert result["changes"][1]["after"] == {
        "engine": NEW.engine,
        "configuration": NEW.configuration,
    }
    assert result["not_understood"] == {"@fake/box2": 1}


@pytest.mark.parametrize("wrong", ["yesterday", "2026-13-01", "99999999d", "-1d", "٣d", ""])
def test_a_moment_that_is_none_is_a_wrong_call(tmp_path: Path, wrong: str) -> None:
    from click.testing import CliRunner  # noqa: PLC0415

    from fortyninety.cli.history import history  # noqa: PLC0415

    inventory = tmp_path / "boxes.py"
    inventory.write_text("boxes = ['@fake/box']\n")
    ran = CliRunner().invoke(history, [str(inventory), f"--since={wrong}"])
    assert ran.exit_code == 2 and "expected a span" in ran.output
