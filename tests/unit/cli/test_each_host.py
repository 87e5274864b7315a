"""The commands that do one thing on each host: every host has its result, and the worst decides."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT

HOSTS = ["@fake/free", "@fake/held", "@fake/stuck", ("@fake/wrong", {"power_limt": 3})]
ANSWERS = {
    "@fake/free": [("lease", ["free\t"], True)],
    "@fake/held": [("lease", ["ended\t"], True)],
    "@fake/stuck": [("lease", ["stuck\t"], True)],
}


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "boxes.py").write_text(f"boxes = {HOSTS!r}\n")
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS))
    return tmp_path


def run(fleet: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command over the imagined hosts, in a process of its own."""
    return run_words(fleet, command, str(fleet / "boxes.py"), *arguments)


def run_words(fleet: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The same, by all of its words."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "tests.unit.imagined_hosts", str(fleet / "answers.json")),
            *words,
        ],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(fleet / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (["@fake/free", "@fake/held"], 0),
        (["@fake/free", "@fake/stuck"], 1),
        (["@fake/stuck", "@fake/wrong"], 2),
    ],
)
def test_unlock_ends_with_the_worst_of_its_hosts(fleet: Path, limit: list[str], code: int) -> None:
    options = [f"--limit={each}" for each in limit]
    assert run(fleet, "unlock", "--reason", "x", *options).returncode == code


def test_hosts_are_told_on_standard_output_and_problems_on_standard_error(fleet: Path) -> None:
    ran = run(fleet, "unlock", "--reason", "x", "--limit", "boxes")
    assert [line.partition(":")[0] for line in ran.stdout.splitlines()] == [
        *("@fake/free", "@fake/held", "@fake/stuck"),
    ]
    (line,) = ran.stderr.splitlines()
    assert line.startswith("@fake/wrong: power_limt is 3")


def test_the_page_has_the_hosts_and_the_problems(fleet: Path) -> None:
    ran = run(fleet, "unlock", "--reason", "x", "--limit", "boxes", "--json")
    page = json.loads(ran.stdout)
    assert ran.stderr == ""
    assert [(host["host"], host["ended"]) for host in page["result"]["hosts"]] == [
        *(("@fake/free", False), ("@fake/held", True), ("@fake/stuck", False)),
    ]
    (problem,) = page["problems"]
    assert (problem["host"], problem["subject"]) == ("@fake/wrong", "power_limt")
    assert (page["command"], page["exit_code"]) == ("unlock", ran.returncode)


def test_a_rollback_without_its_leases_changes_no_host(fleet: Path) -> None:
    ran = run(fleet, "rollback", "--limit", "@fake/free", "--limit", "@fake/held", "--json")
    assert ran.returncode == 1
    hosts = json.loads(ran.stdout)["result"]["hosts"]
    assert [(host["host"], host["changed"]) for host in hosts] == [
        *(("@fake/free", False), ("@fake/held", False)),
    ]


def test_an_inventory_that_is_not_there_is_a_wrong_call(fleet: Path) -> None:
    (fleet / "boxes.py").unlink()
    ran = run(fleet, "rollback", "--json")
    assert ran.returncode == 2
    said = f"there is no inventory file {fleet / 'boxes.py'}"
    assert ran.stderr == f"Error: {said}\n"
    assert json.loads(ran.stdout) == {
        "command": "rollback",
        "exit_code": 2,
        "problems": [{"message": said}],
        "result": None,
    }


@pytest.mark.parametrize(
    "command",
    [("unlock", "--reason", "x"), ("rollback",), ("reset", "--yes"), ("snapshot verify",)],
)
def test_a_host_without_root_is_not_asked_for_anything(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Half of what root would do is worse than nothing, and its failure says something else."""
    (tmp_path / "boxes.py").write_text("boxes = ['@fake/box']\n")
    lines = ["fortyninety asks", "user 1000 keeper", "sudo granted", "python3 3.11.2", "clock 0"]
    answers = {"@fake/box": [("fortyninety asks", lines, True), ("lease", ["free\t"], True)]}
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    name, *options = command
    ran = run_words(tmp_path, *name.split(), str(tmp_path / "boxes.py"), *options, "--limit=boxes")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "user is 'keeper'; expected root, or a user with sudo" in ran.stderr
    asked = (tmp_path / "answers.json.commands").read_text().splitlines()
    assert len(asked) == 1, asked
