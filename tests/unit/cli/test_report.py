"""`fortyninety report` over imagined hosts: what it tells of them, and not whose they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fortyninety.check.report import Result
from fortyninety.checkout import ROOT
from fortyninety.cli.report import page
from fortyninety.text.redaction import Redactor
from tests.unit.fleet.imagined_fleet import run_over, survey

UUID = "GPU-5f2e8a10-1111-2222-3333-444455556666"
# What the host's owner would not publish, by where it was planted.
PLANTED = {
    "ssh_hostname": "gpu1.corp.example.com",
    "ssh_user": "operations-carol",
    "served_model_name": "acme-secret-project",
    "hub_token": "environment:TOKEN_OF_THIS_TEST",
    "cell": None,
    "power_limit": {UUID: 350, "0000:02:00.0": 350},
}


def test_a_report_has_what_is_needed_and_nothing_that_was_planted(tmp_path: Path) -> None:
    data = {key: value for key, value in PLANTED.items() if value is not None}
    file = tmp_path / "report.md"
    hosts = {"acme-gpu-7": survey(), "acme-gpu-8": [("read in one round trip", [], False)]}
    ran = run_over(
        tmp_path, "report", hosts, "--no-check", "--json", "--output", str(file), data=data
    )
    assert ran.returncode == 2, ran.stderr
    answer = json.loads(ran.stdout)
    text = file.read_text()
    assert answer["result"]["report"] == text
    said = text + json.dumps(answer["problems"])
    for secret in (
        "acme",
        "TOKEN_OF",
        "gpu1",
        "corp.example",
        "carol",
        "5f2e8a10",
        "secret",
        str(tmp_path),
    ):
        assert secret not in said, secret
    assert "### box-1" in text
    assert "- box-2: survey is not readable" in text
    assert "Debian GNU/Linux 13 (trixie)" in text
    assert "cards on the bus: 0x2684, 0x2684" in text
    assert "power_limit is set" in text
    assert "served_model_name is set" in text
    assert "fit: " in text
    assert text.startswith("### Versions\n\n- fortyninety ")


def test_a_box_whose_sudo_asks_for_a_password_is_not_read_and_its_user_not_named(
    tmp_path: Path,
) -> None:
    """pyinfra would ask for the password on the terminal; the user may stand in ~/.ssh/config."""
    lines = [
        *("fortyninety asks", "user 1000 carol", "sudo refused sudo: a password is required"),
        *("python3 3.11.2", "clock NOW"),
    ]
    hosts = {"box": [("fortyninety asks", lines, True)]}
    ran = run_over(tmp_path, "report", hosts, "--no-check", data={"_sudo": True})
    assert ran.returncode == 2, ran.stderr
    assert "sudo of user '<user>' is refused" in ran.stdout
    assert "echo '<user> ALL=(ALL) NOPASSWD: ALL'" in ran.stdout
    assert "carol" not in ran.stdout + ran.stderr
    asked = (tmp_path / "answers.json.commands").read_text()
    assert "read in one round trip" not in asked


def test_what_the_check_says_passes_through_the_same(tmp_path: Path) -> None:
    redact = Redactor({"acme-gpu-7": "box-1"})
    said = f"card {UUID} is capped at 450 W on acme-gpu-7 (192.0.2.7); expected 400 W"
    result = Result("acme-gpu-7", "power", "test_cap", "failed", "It runs hot.", said, 0.1)
    text = page((), (), (), [result], redact)
    assert "acme" not in text and "5f2e" not in text and "192.0.2.7" not in text
    assert "box-1: FAILED: cap" in text
    assert "is capped at 450 W on box-1" in text


def test_a_file_that_cannot_be_written_ends_with_2(tmp_path: Path) -> None:
    output = ("--output", "/nowhere/at/all.md")
    ran = run_over(tmp_path, "report", {"box": survey()}, "--no-check", *output)
    assert ran.returncode == 2
    assert "the report cannot be written to /nowhere/at/all.md" in ran.stderr


# In a process of its own: the fleet's modules patch the standard library.
OF_AN_INVENTORY = """
import json, sys
from fortyninety.fleet.reported import PRIVATE_KEYS, redactor
data = {key: f"acme{number}" for number, key in enumerate(PRIVATE_KEYS)}
redact = redactor({"zeus": {**data, "model_repository": "acme/own"}, "hera": {"ssh_user": "root"}})
said = " ".join([*data.values(), "acme/own", "zeus and hera as root by /opt/fortyninety"])
print(json.dumps([len(data), redact(said)]))
"""


def test_whatever_an_inventory_says_of_its_own_is_taken_out() -> None:
    command = [sys.executable, "-c", OF_AN_INVENTORY]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    count, said = json.loads(ran.stdout)
    assert "acme" not in said
    assert said.count("<") == count + 1
    assert said.endswith("<model_repository> box-1 and box-2 as root by /opt/fortyninety")
