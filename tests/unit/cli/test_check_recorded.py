"""`fortyninety check --record`: which hosts keep what, and that without it nothing is written."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fortyninety.fleet.checked as kept
from fortyninety.checkout import ROOT
from fortyninety.fleet.checked import keeping
from fortyninety.plan.paths import CHECKED, CHECKED_IN_PART

# How each test of each host ended, which a suite of the test's own says.
ENDED = [
    ("@fake/right", "reach", "passed"),
    ("@fake/right", "power", "passed"),
    ("@fake/wrong", "power", "failed"),
    ("@fake/wrong", "power", "skipped"),
    ("@fake/away", "reach", "failed"),
]
# A suite's process of its own is another test's: here its results are given, before pyinfra_cli,
# which patches the standard library, is loaded with the hosts.
WITH_RESULTS = """
import json, runpy, sys
import fortyninety.cli.check
from fortyninety.check.report import Result
ended = json.loads(sys.argv.pop(1))
results = [Result(host, area, "x", outcome, "", "m", 0.0) for host, area, outcome in ended]
sys.modules["fortyninety.cli.check"].run_suite = lambda arguments: iter(results)
runpy.run_module("tests.unit.imagined_hosts", run_name="__main__")
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    names = sorted({host for host, _, _ in ENDED})
    (tmp_path / "boxes.py").write_text(f"boxes = {names!r}\n")
    (tmp_path / "answers.json").write_text(json.dumps({name: [] for name in names}))
    return tmp_path


def check(fleet: Path, *options: str) -> tuple[dict[str, Any], list[str]]:
    """The object that was printed, and the commands that hosts were given."""
    ran = subprocess.run(
        [
            *(sys.executable, "-c", WITH_RESULTS, json.dumps(ENDED), str(fleet / "answers.json")),
            *("check", str(fleet / "boxes.py"), "--json", *options),
        ],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(fleet / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.startswith("{"), ran.stdout + ran.stderr
    page: dict[str, Any] = json.loads(ran.stdout)
    assert page["exit_code"] == ran.returncode
    path = fleet / "answers.json.commands"
    return page, list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def test_without_the_option_no_host_is_told_anything(fleet: Path) -> None:
    page, commands = check(fleet)
    assert page["exit_code"] == 2 and len(page["result"]["results"]) == len(ENDED)
    assert commands == []


def test_hosts_that_were_looked_at_keep_how_it_ended(fleet: Path) -> None:
    _, commands = check(fleet, "--record", "--no-load")
    writing = [shlex.split(each) for each in commands if CHECKED_IN_PART in each]
    found = [json.loads(each[each.index("%s") + 1]) for each in writing]
    counts = sorted((each["passed"], each["failed"], each["skipped"]) for each in found)
    assert counts == [(0, 1, 1), (2, 0, 0)]
    assert not [each for each in commands if CHECKED in each]


def test_a_host_that_does_not_keep_it_is_named(fleet: Path) -> None:
    answers = {host: [] for host, _, _ in ENDED} | {"@fake/right": [[CHECKED, [], False]]}
    (fleet / "answers.json").write_text(json.dumps(answers))
    page, _ = check(fleet, "--record")
    assert page["exit_code"] == 2
    problems = {
        each.get("host"): each["message"] if len(each) == 1 else each["found"]
        for each in page["problems"]
    }
    assert "not recorded" in problems["@fake/right"] and "@fake/wrong" not in problems


def test_a_whole_check_takes_the_place_of_a_partial_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, partial = tmp_path / "a folder/whole", tmp_path / "a folder/partial"
    monkeypatch.setattr(kept, "CHECKED", str(whole))
    monkeypatch.setattr(kept, "CHECKED_IN_PART", str(partial))

    def keep(text: str, *, is_whole: bool) -> int:
        command = ["sh", "-c", keeping(text, whole=is_whole)]
        return subprocess.run(command, check=False, capture_output=True).returncode

    assert keep("it's 1\n", is_whole=False) == 0
    assert partial.read_text() == "it's 1\n" and partial.stat().st_mode & 0o777 == 0o644
    assert keep("2\n", is_whole=True) == 0
    assert [each.name for each in whole.parent.iterdir()] == ["whole"]
    assert keep("3\n", is_whole=False) == 0
    assert whole.read_text() == "2\n" and partial.read_text() == "3\n"
    # What cannot be put in place leaves nothing beside it.
    partial.unlink()
    partial.mkdir()
    assert keep("4\n", is_whole=False) != 0
    assert {each.name for each in whole.parent.iterdir()} == {"whole", "partial"}
