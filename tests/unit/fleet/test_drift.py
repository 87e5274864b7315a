"""What `fortyninety drift` says and how it ends, over imagined hosts; real ones are the lab's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import ROOT
from fortyninety.model.file_list import list_digest
from fortyninety.settings.defaults import default_setting
from tests.unit.fleet.imagined_fleet import FILES, SURVEY, Answers, run_over, survey


def drift(
    directory: Path,
    hosts: dict[str, Answers],
    *arguments: str,
    data: dict[str, Any] | None = None,
    listed: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run it over an inventory of imagined hosts, each with its answers.

    Without `listed` the controller does not know the checkpoint's files.
    """
    return run_over(directory, "drift", hosts, *arguments, data=data, listed=listed)


def account(sudo: str) -> list[str]:
    """The answers of a host where another user than root logs in."""
    return ["fortyninety asks", "user 1000 admin", sudo, "python3 3.11.2", "clock 1"]


def test_a_bare_host_shows_every_stage_and_why(tmp_path: Path) -> None:
    ran = drift(tmp_path, {"box1": survey()}, "--json")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    page = json.loads(ran.stdout)
    assert page["problems"] == []
    (host,) = page["result"]["hosts"]
    assert host["host"] == "@fake/box1"
    stages = list(dict.fromkeys(change["stage"] for change in host["changes"]))
    assert stages == [
        *("Sources", "Python", "Driver", "CUDA", "Engine", "Snapshot", "Power", "Service", "Gate"),
    ]
    by_name = {change["operation"]: change for change in host["changes"]}
    assert by_name["Write the unit"]["differences"] == [
        "/etc/systemd/system/vllm.service is missing"
    ]
    assert by_name["Create the service's account"]["differences"] == ["account vllm is missing"]
    unsaid = [
        f"{change['stage']} | {change['operation']}"
        for change in host["changes"]
        if not change["differences"]
    ]
    assert unsaid == [], "operations that do not say why"


def test_what_only_a_deploy_finds_out_is_said_and_is_not_a_change(tmp_path: Path) -> None:
    (host,) = json.loads(drift(tmp_path, {"box1": survey()}, "--json").stdout)["result"]["hosts"]
    said = "\n".join(host["not_looked_at"])
    assert "whether the engine takes its command line" in said
    names = [change["operation"] for change in host["changes"]]
    assert "Have the engine read its command line" not in names


def test_only_what_reads_is_run_on_a_host(tmp_path: Path) -> None:
    drift(tmp_path, {"box1": survey()})
    commands = [
        json.loads(line) for line in (tmp_path / "answers.json.commands").read_text().splitlines()
    ]
    readers = (SURVEY, "apt-helper", "sudo -n true", "/opt/fortyninety/bin/complete --port")
    assert [each for each in commands if not any(reader in each for reader in readers)] == []
    assert len(commands) == 4


def test_a_refused_host_is_said_and_the_others_are_looked_at_all_the_same(tmp_path: Path) -> None:
    hosts = {
        "box1": survey("os\tdebian\t11\tbullseye\tDebian GNU/Linux 11 (bullseye)", without="os\t"),
        "box2": survey(),
    }
    ran = drift(tmp_path, hosts)
    assert ran.returncode == 2
    assert "box1: distribution is Debian GNU/Linux 11 (bullseye); expected Debian 1" in ran.stderr
    assert "box2: " not in ran.stderr
    assert "box2: 2" in ran.stdout or "operations would change it" in ran.stdout
    assert "box1" not in ran.stdout


def test_a_checkpoint_without_a_list_of_files_is_refused_with_what_to_do(tmp_path: Path) -> None:
    data = {"hub_endpoint": "http://127.0.0.1:9"}
    ran = drift(tmp_path, {"box1": survey()}, data=data, listed=False)
    assert ran.returncode == 2
    assert "box1: the checkpoint is not known" in ran.stderr, ran.stderr
    assert "http://127.0.0.1:9 is not https" in ran.stderr
    assert "`fortyninety snapshot pin " in ran.stderr


def test_a_snapshot_that_is_whole_by_another_manifest_than_the_lists_is_not_whole(
    tmp_path: Path,
) -> None:
    fetching = "Fetch and verify " + default_setting("model_repository")
    for manifest, expected in ((list_digest(FILES), False), ("b" * 64, True)):
        answers = survey("snapshot\twhole", f"manifest\tsnapshot\t{manifest}")
        (host,) = json.loads(drift(tmp_path, {"box1": answers}, "--json").stdout)["result"]["hosts"]
        found = {each["operation"]: each["differences"] for each in host["changes"]}
        assert (fetching in found) is expected
        if expected:
            assert "another manifest than the list" in found[fetching][0]


@pytest.mark.parametrize(
    ("answer", "data", "message"),
    [
        (
            account("sudo refused sudo: a password is required"),
            {"_sudo": True},
            "sudo of user 'admin' is refused (sudo: a password is required); expected sudo without",
        ),
        (account("sudo granted"), {}, "user is 'admin'; expected root, or a user with sudo"),
    ],
)
def test_a_user_who_is_not_root_and_cannot_be_is_said(
    tmp_path: Path, answer: list[str], data: dict[str, Any], message: str
) -> None:
    ran = drift(tmp_path, {"box1": [("sudo -n true", answer, True), *survey()]}, data=data)
    assert ran.returncode == 2
    assert message in ran.stderr, ran.stderr


def test_sudo_that_asks_for_nothing_is_good_enough(tmp_path: Path) -> None:
    answers: Answers = [("sudo -n true", account("sudo granted"), True), *survey()]
    assert drift(tmp_path, {"box1": answers}, data={"_sudo": True}).returncode == 3


def test_a_host_whose_shell_does_not_answer_is_said(tmp_path: Path) -> None:
    ran = drift(tmp_path, {"box1": [(SURVEY, [], False)]})
    assert ran.returncode == 2
    assert "box1: survey is empty" in ran.stderr


def test_a_token_is_never_printed(tmp_path: Path) -> None:
    data = {"hub_token": "environment:TOKEN_OF_THIS_TEST"}
    for arguments in ((), ("--json",)):
        ran = drift(tmp_path, {"box1": survey()}, *arguments, data=data)
        assert ran.returncode == 3, ran.stderr
        assert "a_secret_token" not in ran.stdout + ran.stderr
    assert "a_secret_token" not in (tmp_path / "answers.json.commands").read_text()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fortyninety", "drift", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_inventory_without_hosts_or_without_the_named_ones_cannot_be_looked_at(
    tmp_path: Path,
) -> None:
    (tmp_path / "none.py").write_text("none = []\n")
    (tmp_path / "boxes.py").write_text("boxes = ['gpu-box-1']\n")
    for arguments, said in (
        ([str(tmp_path / "none.py")], "none.py"),
        ([str(tmp_path / "boxes.py"), "--limit", "gpu-box-9"], "gpu-box-1"),
        ([str(tmp_path / "absent.py")], "no inventory file"),
    ):
        ran = command(*arguments)
        assert ran.returncode == 2
        assert said in ran.stderr, ran.stderr


def test_a_host_that_does_not_answer_is_a_problem_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "boxes.py").write_text(
        "boxes = [('gpu-box-1', {'ssh_hostname': '127.0.0.1', 'ssh_port': 1})]\n"
    )
    ran = command(str(tmp_path / "boxes.py"), "--json")
    assert ran.returncode == 2
    (problem,) = json.loads(ran.stdout)["problems"]
    assert (problem["host"], problem["subject"]) == ("gpu-box-1", "SSH port")
    assert "closed on 127.0.0.1, port 1" in problem["found"]
