"""What `fortyninety doctor` finds on imagined hosts, and over SSH on a host that is a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import ROOT
from tests.unit.fleet.imagined_fleet import Answers, run_over, survey

STEPS = (
    *("settings", "name", "port", "host key", "login", "shell", "root", "python3", "clock"),
    *("apt", "index", "hub", "disk", "cards", "rest"),
)


def addresses(status: int = 200) -> list[str]:
    """What the host says of the index and the hub."""
    one = {"status": status, "error": ""}
    found = {"index": [{"address": "https://index.example", **one}], "hub": []}
    found["hub"] = [{"address": "https://hub.example", **one}]
    return [json.dumps(found)]


def account(*, sudo: str = "sudo root", clock: str = "NOW", python: str = "3.13") -> Answers:
    user = "user 0 root" if sudo == "sudo root" else "user 1000 admin"
    lines = ["fortyninety asks", user, sudo, f"python3 {python}", f"clock {clock}"]
    return [("fortyninety asks", lines, True)]


REACHES: Answers = [("python3 - ", addresses(), True)]


def examined(ran: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    """The state of each step of each host."""
    page = json.loads(ran.stdout)
    assert page["exit_code"] == ran.returncode and page["command"] == "doctor"
    return {
        host["host"]: {check["step"]: check["state"] for check in host["checks"]}
        for host in page["result"]["hosts"]
    }


SOUND: Answers = [*account(), *REACHES, *survey()]
REFUSED = account(sudo="sudo refused sudo: a password is required")
# Of each host the step that is wrong, and what the remedy has.
CASES: dict[str, tuple[Answers, str, str]] = {
    "late": ([*account(clock="1"), *REACHES, *survey()], "clock", "timedatectl set-ntp true"),
    "no-python": ([*account(python=""), *survey()], "python3", "apt-get install python3"),
    "no-index": ([*account(), ("python3 - ", addresses(503), True), *survey()], "index", "index"),
    "nonsense": ([*account(), ("python3 - ", ["nonsense"], True), *survey()], "hub", "Try again"),
    "full": (
        [*account(), *REACHES, *survey("filesystem\text4\t1000", without="filesystem")],
        "disk",
        "Make room",
    ),
    "slow": (
        [*account(), *REACHES, *survey("disk\tsda\t1", without="disk")],
        "disk",
        "allow_non_nvme",
    ),
    "no-card": ([*account(), *REACHES, *survey(without="pci")], "cards", "lspci -d 10de:"),
    "arm": ([*account(), *REACHES, *survey("machine\taarch64", without="machine")], "rest", ""),
    "no-archive": (
        [
            *account(),
            *REACHES,
            ("apt-helper", ["http://archive.example/debian trixie\tTemporary failure"], True),
            *survey(),
        ],
        "apt",
        "/etc/apt",
    ),
    "noisy": ([("fortyninety asks", ["Welcome!", *account()[0][1]], True)], "shell", "chsh"),
    "no-root": (REFUSED, "root", "'admin ALL=(ALL) NOPASSWD: ALL'"),
}


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """All of them and a sound one, examined together."""
    hosts = {"sound": SOUND, **{name: case[0] for name, case in CASES.items()}}
    directory = tmp_path_factory.mktemp("fleet")
    return run_over(directory, "doctor", hosts, "--json", data={"_sudo": True})


def test_a_sound_host_is_all_right_to_the_last_step(
    every: subprocess.CompletedProcess[str],
) -> None:
    assert examined(every)["@fake/sound"] == dict.fromkeys(STEPS, "ok")
    (host,) = (
        each
        for each in json.loads(every.stdout)["result"]["hosts"]
        if each["host"] == "@fake/sound"
    )
    said = {check["step"]: check["said"] for check in host["checks"]}
    assert said["cards"].startswith("2 cards on the PCI bus, no driver yet")
    assert said["disk"] == "1000 GB free for /srv/models on nvme0n1"
    assert said["index"] == "https://index.example answers"


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_its_own_step_with_what_mends_it(
    every: subprocess.CompletedProcess[str], name: str
) -> None:
    assert every.returncode == 1, every.stderr
    _, step, remedy = CASES[name]
    assert examined(every)[f"@fake/{name}"][step] == "wrong", every.stdout
    remedies = [
        problem["remedy"]
        for problem in json.loads(every.stdout)["problems"]
        if problem["host"] == f"@fake/{name}"
    ]
    assert remedies and any(remedy in each for each in remedies), remedies


def test_without_root_or_a_shell_nothing_is_tried_that_needs_it(
    every: subprocess.CompletedProcess[str],
) -> None:
    found = examined(every)
    assert found["@fake/no-root"]["clock"] == "ok"
    for step in ("apt", "index", "hub", "disk", "cards", "rest"):
        assert found["@fake/no-root"][step] == found["@fake/noisy"][step] == "not tried"
    assert found["@fake/no-python"]["hub"] == "not tried"
    assert found["@fake/no-python"]["cards"] == "ok"


def test_settings_that_do_not_go_together_are_said_and_the_rest_is_tried(tmp_path: Path) -> None:
    # A cell of one, and a token that is not there.
    data = {"cell": "a", "engine": "0.32.0", "hub_token": "environment:NO_SUCH_TOKEN"}
    ran = run_over(tmp_path, "doctor", {"box1": REFUSED}, "--json", data={**data, "_sudo": True})
    assert ran.returncode == 1, ran.stderr
    found = examined(ran)["@fake/box1"]
    assert found["settings"] == found["root"] == "wrong" and found["clock"] == "ok"
    page = json.loads(ran.stdout)
    assert {"cell", "hub_token"} <= {each["subject"] for each in page["problems"]}
    (host,) = page["result"]["hosts"]
    assert host["checks"][-1]["said"] == "until root is right"


def test_on_a_terminal_or_not_a_line_a_step_and_colour_on_one_alone(tmp_path: Path) -> None:
    ran = run_over(tmp_path, "doctor", {"box1": SOUND, "box2": REFUSED}, data={"_sudo": True})
    assert ran.returncode == 1 and "\x1b" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["settings", "name", "port"]
    arrows = [line for line in lines if "\N{RIGHTWARDS ARROW}" in line]
    assert len(arrows) == 1 and "/etc/sudoers.d/fortyninety" in arrows[0]
    assert any("not tried until root is right: apt, index, hub" in line for line in lines)


def over_ssh(tmp_path: Path, data: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    (tmp_path / "boxes.py").write_text(f"boxes = [('box1', {data!r})]\n")
    return subprocess.run(
        [sys.executable, "-m", "fortyninety", "doctor", str(tmp_path / "boxes.py"), "--json"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "SSH_AUTH_SOCK": ""},
        check=False,
    )


def test_over_ssh_each_step_before_the_failing_one_is_all_right(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "id": "case $1 in -u) echo 1000 ;; *) echo admin ;; esac",
        "sudo": "echo 'sudo: a password is required' >&2; exit 1",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    command = [sys.executable, str(ROOT / "tests/unit/connection/ssh_server.py")]
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        try:
            port, key = int(server.stdout.readline()), server.stdout.readline().strip()
            known_hosts = tmp_path / "known_hosts"
            known_hosts.write_text("")
            data = {
                "ssh_hostname": "127.0.0.1",
                "ssh_port": port,
                "ssh_user": "admin",
                "ssh_password": "any",
                "ssh_known_hosts_file": str(known_hosts),
                "_sudo": True,
            }
            unknown = over_ssh(tmp_path, data)
            known_hosts.write_text(f"[127.0.0.1]:{port} {key}\n")
            refused = over_ssh(tmp_path, data)
        finally:
            server.kill()
    assert unknown.returncode == 2, unknown.stderr
    found = examined(unknown)["box1"]
    assert [found[each] for each in STEPS[:5]] == ["ok", "ok", "ok", "wrong", "not tried"]
    (problem,) = json.loads(unknown.stdout)["problems"]
    assert f"ssh-keyscan -p {port} 127.0.0.1" in problem["remedy"]
    assert refused.returncode == 1, refused.stderr
    found = examined(refused)["box1"]
    assert [step for step in STEPS if found[step] == "wrong"] == ["root"]
    assert set(STEPS[:6]) <= {step for step in STEPS if found[step] == "ok"}
    (problem,) = json.loads(refused.stdout)["problems"]
    assert problem["subject"] == "sudo of user 'admin'"
