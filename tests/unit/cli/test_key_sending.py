"""`fortyninety key` over imagined hosts: who is sent the keys, and who is said to lack them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT

IN_FORCE = [["gateway-control", ["in force"], True]]
BOXES = """
boxes = [("@fake/open", {"gateway": True}), ("@fake/late", {"gateway": True}), ("@fake/shut", {})]
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.py"
    path.write_text(BOXES)
    return path


def key(inventory: Path, late: object, *line: str) -> tuple[int, dict[str, object], list[str]]:
    """How it ended, its JSON, and the commands that ran on hosts."""
    answers = inventory.with_name("answers.json")
    hosts = {"@fake/open": IN_FORCE, "@fake/late": late, "@fake/shut": IN_FORCE}
    answers.write_text(json.dumps(hosts))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.unit.imagined_hosts", str(answers)),
            *("key", line[0], str(inventory), *line[1:], "--json"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout, ran.stderr
    commands = Path(f"{answers}.commands")
    lines = commands.read_text().splitlines() if commands.exists() else []
    return ran.returncode, json.loads(ran.stdout), lines


def test_every_host_with_a_gateway_and_no_other_is_sent_the_keys(inventory: Path) -> None:
    output = str(inventory.with_name("ada.key"))
    code, page, commands = key(inventory, IN_FORCE, "add", "ada", "--output", output)
    assert code == 0 and page["problems"] == []
    result = page["result"]
    assert isinstance(result, dict) and result["name"] == "ada"
    assert {each["host"] for each in result["sent"]} == {"@fake/open", "@fake/late"}
    assert sum("gateway-control keys" in command for command in commands) == 2
    secret = Path(output).read_text().strip()
    assert not any(secret in command for command in commands)


def test_a_host_that_does_not_take_them_is_named_and_the_key_is_kept(inventory: Path) -> None:
    refusing = [["gateway-control", ["the gateway's keys: no"], False]]
    output = str(inventory.with_name("ada.key"))
    code, page, _ = key(inventory, refusing, "add", "ada", "--output", output)
    assert code == 1
    problems = page["problems"]
    assert isinstance(problems, list)
    (problem,) = problems
    assert problem["host"] == "@fake/late" and "fortyninety deploy" in problem["remedy"]
    assert '"name": "ada"' in inventory.with_name("boxes.keys.json").read_text()


def test_an_inventory_that_cannot_be_used_is_said(inventory: Path) -> None:
    inventory.write_text("raise SystemExit('no')\n")
    output = str(inventory.with_name("ada.key"))
    code, page, commands = key(inventory, IN_FORCE, "add", "ada", "--output", output)
    assert code == 1 and "is not known" in str(page["problems"]) and commands == []


@pytest.mark.parametrize(
    ("does", "code", "entries"),
    [("echo new >{keys}; echo in force", 0, 1), ("echo in force", 0, 0), ("exit 3", 3, 0)],
    ids=["new keys", "the same keys", "refused"],
)
def test_a_host_notes_new_keys_and_no_others(
    inventory: Path, does: str, code: int, entries: int
) -> None:
    """By the command that was sent, in a shell, with a program in the place of the gateway's."""
    _, _, commands = key(inventory, IN_FORCE, "send")
    sent = next(json.loads(each) for each in commands if "gateway-control keys" in each)
    folder = inventory.parent
    keys, control, journal = (folder / name for name in ("keys.map", "control", "journal"))
    keys.write_text("old\n")
    control.write_text(f"#!/bin/sh\n{does.format(keys=keys)}\n")
    (folder / "systemd-cat").write_text(f"#!/bin/sh\ncat >>{journal}\n")
    for each in (control, folder / "systemd-cat"):
        each.chmod(0o755)
    for path, own in {
        "/etc/fortyninety/gateway/keys.map": keys,
        "/opt/fortyninety/bin/gateway-control": control,
    }.items():
        sent = sent.replace(path, str(own))
    ran = subprocess.run(
        ["sh", "-c", sent],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (code, "")
    assert ran.stdout.split() == (["in", "force"] if code == 0 else [])
    lines = journal.read_text().splitlines() if journal.exists() else []
    assert [json.loads(line)["what"] for line in lines] == ["key"] * entries
