"""`fortyninety drain` and `undrain`: what each box answers decides, and a front keeps a box."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_each_host import run

DRAINED = {"since": 1, "until": 4_000_000_000, "reason": "new fans", "by": "ada@laptop"}


def answer(busy: int = 0, drained: dict[str, Any] | None = DRAINED) -> list[Any]:
    """What the program on a box says."""
    under_way = {"gateway": busy, "running": busy, "waiting": None if busy == 0 else 0}
    page = {"drained": drained, "in_force": True, "open": under_way}
    return ["bin/drain", ["progress", json.dumps(page)], True]


def write(
    folder: Path, answers: dict[str, list[Any]], *, front: bool = False, gateway: bool = True
) -> None:
    """An inventory of boxes, with what each answers, perhaps with a front."""
    boxes = [(f"@fake/{name}", {"gateway": gateway}) for name in answers]
    fronts = [("@fake/front", {"roles": ["gateway"]})] if front else []
    (folder / "boxes.py").write_text(f"boxes = {boxes!r}\nfronts = {fronts!r}\n")
    (folder / "answers.json").write_text(
        json.dumps({f"@fake/{name}": [each] for name, each in answers.items()})
    )


def drain(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "drain", "--reason", "new fans", "--wait", "0", *words)


def commands(folder: Path) -> list[str]:
    path = folder / "answers.json.commands"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_worst_of_the_boxes_decides_and_each_is_told(tmp_path: Path) -> None:
    silent = ["bin/drain", ["not as it should be"], True]
    write(tmp_path, {"free": answer(), "busy": answer(2), "odd": silent})
    ran = drain(tmp_path, "@fake/free", "@fake/busy", "@fake/odd", "--for", "90s")
    assert ran.returncode == 1, ran.stderr
    free, busy, odd = ran.stdout.splitlines()
    assert free == "@fake/free: drained until 2096-10-02 07:06:40 UTC; nothing is under way"
    assert "still under way by the gateway: 2; the engine runs 2, 0 wait there" in busy
    assert "@fake/odd: not done: the host answered" in odd
    assert "@fake/busy: 0 s, under way by the gateway: 2" in ran.stderr
    begun = [each for each in commands(tmp_path) if " begin " in each]
    assert len(begun) == 3 and all("--seconds 90" in each for each in begun)


def test_one_object_says_all(tmp_path: Path) -> None:
    write(tmp_path, {"free": answer()})
    ran = drain(tmp_path, "@fake/free", "--json")
    page = json.loads(ran.stdout)
    assert (page["command"], page["exit_code"], ran.returncode) == ("drain", 0, 0)
    (host,) = page["result"]["hosts"]
    assert host["drained"] == DRAINED and host["open"]["gateway"] == 0
    ran = run(tmp_path, "undrain", "@fake/free")
    assert ran.returncode == 0 and "drained until" in ran.stdout


@pytest.mark.parametrize(
    ("other", "code"),
    [(answer(drained=None), 0), (answer(), 1), (["bin/drain", [""], False], 1)],
    ids=["serves", "is drained too", "does not answer"],
)
def test_a_front_keeps_a_box_that_takes_requests(
    tmp_path: Path, other: list[Any], code: int
) -> None:
    write(tmp_path, {"first": answer(), "other": other}, front=True)
    ran = drain(tmp_path, "@fake/first")
    assert ran.returncode == code, ran.stderr
    assert ("the last box that a front has" in ran.stderr) == bool(code)
    assert any(" begin " in each for each in commands(tmp_path)) == (code == 0)


def test_the_last_box_of_a_front_goes_by_force(tmp_path: Path) -> None:
    write(tmp_path, {"first": answer()}, front=True)
    refused = drain(tmp_path, "@fake/first", "--json")
    (problem,) = json.loads(refused.stdout)["problems"]
    assert refused.returncode == 1 and "there is none" in problem["expected"]
    assert drain(tmp_path, "@fake/first", "--force").returncode == 0


@pytest.mark.parametrize(
    "words", [("--for", "25h"), ("--for", "0m"), ("--for", "30"), ("--wait", "x")]
)
def test_what_has_no_bound_is_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    write(tmp_path, {"free": answer()})
    assert drain(tmp_path, "@fake/free", *words).returncode == 2
    assert commands(tmp_path) == []


def test_a_host_that_lets_nobody_in_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"free": answer()}, gateway=False)
    ran = drain(tmp_path, "@fake/free")
    assert ran.returncode == 1 and "there is nothing to drain" in ran.stderr
