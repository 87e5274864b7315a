"""`fortyninety check` against a converged host, and against those that cannot be looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fortyninety.check.report import Result
from lab import stages
from lab.hosts import LabHost, ssh
from lab.inventory import inventory
from tests.lab.deploys import NOT_IN_THE_LAB, host_tests, not_shown_by, write_inventory

pytestmark = pytest.mark.lab


@pytest.fixture
def host(converged: LabHost) -> LabHost:
    """The host that is looked at."""
    return converged


def data_of(host: LabHost, **other: Any) -> tuple[str, dict[str, Any]]:
    """The host's entry in an inventory, with other data."""
    return host.name, {**dict(inventory())[host.name], **other}


def check(path: str, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, the results, and what was said besides."""
    ran = stages.fortyninety("check", path, "--json", *arguments)
    result = json.loads(ran.stdout)["result"]
    return ran.returncode, result["results"] if result else [], ran.stderr


def failures(results: list[dict[str, Any]]) -> dict[str, str]:
    """The message of each test that failed."""
    return {each["test"]: each["message"] for each in results if each["outcome"] == "failed"}


def test_a_converged_host_is_right_in_every_area(host: LabHost, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    path = write_inventory(tmp_path, f"lab = {[data_of(host)]!r}\n")
    code, results, said = check(path, "--junit", str(report))
    assert code == 0, failures(results) or said
    assert {each["area"] for each in results} == {
        *("reach", "driver", "driver_kept", "cuda", "python", "engine", "snapshot", "power"),
        *("service", "sandbox", "serving", "network", "secrets", "system"),
    }
    skipped = {each["test"]: each["message"] for each in results if each["outcome"] == "skipped"}
    expected = (*NOT_IN_THE_LAB, *not_shown_by(host))
    assert all(any(why in said for why in expected) for said in skipped.values()), skipped
    # What a card would be measured for, and the test of the 4-bit model's two lines.
    assert len(skipped) == 6 + bool(not_shown_by(host))
    assert len(list(ElementTree.parse(report).iter("testcase"))) == len(results)


def test_what_is_wrong_is_found_with_what_to_do_and_ends_with_1(
    host: LabHost, tmp_path: Path
) -> None:
    path = write_inventory(tmp_path, f"lab = {[data_of(host)]!r}\n")
    ssh.execute(host.address, "nvidia-smi --power-limit=300; systemctl disable vllm.service")
    try:
        code, results, _ = check(path, "--quick", "--no-load")
    finally:
        ssh.execute(host.address, "nvidia-smi --power-limit=400; systemctl enable vllm.service")
    assert code == 1
    found = failures(results)
    assert "is capped at 300.00 W; expected 400 W" in found["test_every_card_is_capped"]
    assert "is disabled; expected enabled" in found["test_the_service_runs_and_starts_at_boot"]
    assert set(found) == {
        "test_every_card_is_capped",
        "test_the_service_runs_and_starts_at_boot",
        "test_the_host_boots_into_its_service",
    }


def test_files_are_hashed_again_where_somebody_wrote_to_them(host: LabHost, tmp_path: Path) -> None:
    path = write_inventory(tmp_path, f"lab = {[data_of(host)]!r}\n")
    lines = tmp_path / "results"

    def found() -> tuple[Result, Result]:
        lines.unlink(missing_ok=True)
        host_tests(
            *("-k", "the_environments_files or has_the_hash", "--results", str(lines)),
            inventory=path,
        )
        environment, snapshot = map(Result.from_line, lines.read_text().splitlines())
        return environment, snapshot

    assert [each.outcome for each in found()] == ["passed", "passed"]
    again = found()
    assert [each.outcome for each in again] == ["passed", "passed"]
    assert all(each.read_at is not None for each in again)
    # As who hides it: the size and the time are those of before.
    file = "/opt/fortyninety/engines/current/lib/python3.11/site-packages/vllm/version.py"
    ssh.execute(
        host.address,
        f"cp -a {file} /root/kept; printf X | dd of={file} conv=notrunc; "
        f"touch -r /root/kept {file}",
    )
    try:
        environment, snapshot = found()
    finally:
        ssh.execute(host.address, f"mv /root/kept {file}")
    assert environment.outcome == "failed", environment
    assert "vllm/version.py is not the file of its package" in environment.message
    assert snapshot.outcome == "passed" and snapshot.read_at is not None


def test_the_published_manifest_says_what_is_right_where_the_hub_is_silent(
    host: LabHost, tmp_path: Path
) -> None:
    entry = data_of(host, hub_endpoint="http://127.0.0.1:9")
    path = write_inventory(tmp_path, f"lab = {[entry]!r}\n")
    shard = f"$(ls /srv/models/*/{entry[1]['model_revision']}/*00003*.safetensors)"
    ssh.execute(host.address, f"cp -a {shard} /root/shard; printf x | dd of={shard} conv=notrunc")
    try:
        ran = host_tests("-k", "test_every_file_has_the_hash", inventory=path)
    finally:
        ssh.execute(host.address, f"mv /root/shard {shard}")
    assert ran.exit_code == 1
    assert "00003-of-00006.safetensors has SHA-256" in ran.output
    assert "the manifest that was published with it" in ran.output


def test_who_cannot_be_looked_at_is_said_and_the_others_are_looked_at(
    host: LabHost, tmp_path: Path
) -> None:
    """One run over one host under several names: also by sudo, which may not ask."""
    ssh.make_key(tmp_path / "other", comment="nobody")
    entries = {
        "by-sudo": {"ssh_user": "keeper", "_sudo": True},
        "sudo-asks": {"ssh_user": "doorman", "_sudo": True},
        "not-root": {"ssh_user": "doorman"},
        "wrong-key": {"ssh_key": str(tmp_path / "other")},
        "away": {"ssh_port": 9},
        "wrong-setting": {"power_limt": 400},
    }
    hosts = [(name, data_of(host, **other)[1]) for name, other in entries.items()]
    path = write_inventory(tmp_path, f"lab = {hosts!r}\n")
    make, remove = "", ""
    for user, rule in (("keeper", "NOPASSWD: ALL"), ("doorman", "ALL")):
        make += (
            f"useradd --create-home --shell /bin/bash {user}; cp -r /root/.ssh /home/{user}/; "
            f"chown -R {user}: /home/{user}/.ssh; echo '{user} ALL=(ALL) {rule}' > "
            f"/etc/sudoers.d/{user}; chmod 440 /etc/sudoers.d/{user}; "
        )
        remove += f"userdel --remove {user}; rm /etc/sudoers.d/{user}; "
    ssh.execute(host.address, make)
    try:
        code, results, said = check(path, "--quick", "--no-load")
    finally:
        ssh.execute(host.address, remove)
    assert code == 2, said
    failed = {each["host"]: each["message"] for each in results if each["outcome"] == "failed"}
    expected = {
        "sudo-asks": ("sudo of user 'doorman' is refused", "NOPASSWD"),
        "not-root": ("user is 'user id 100", "_sudo = True"),
        "wrong-key": ("Permission denied", "ssh-copy-id"),
        "away": ("SSH port is closed", "set ssh_port"),
        "wrong-setting": ("power_limt", "did you mean power_limit"),
    }
    assert set(failed) == set(expected), failed
    for name, words in expected.items():
        assert all(word in failed[name] for word in words), failed[name]
    looked_at = {each["area"] for each in results if each["host"] == "by-sudo"}
    assert {"driver", "engine", "serving", "secrets"} <= looked_at
