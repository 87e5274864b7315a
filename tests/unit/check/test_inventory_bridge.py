"""How a host of a pyinfra inventory is reached by the host tests, and why it is not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.host import inventory_bridge
from tests.host.inventory_bridge import (
    Box,
    boxes,
    ssh_options,
    unreachable,
    why_not,
)


def box(**data: Any) -> Box:
    """A box with the given data."""
    return Box("box", ("group",), data)


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    """No socket is left of a test."""
    yield
    inventory_bridge.disconnect_all()


def test_the_connection_is_what_the_inventory_says() -> None:
    options = ssh_options(
        box(
            ssh_user="admin",
            ssh_port=2222,
            ssh_key="~/.ssh/fleet",
            ssh_config_file="/etc/fleet/ssh_config",
            ssh_known_hosts_file="/etc/fleet/known hosts",
            ssh_strict_host_key_checking="yes",
        )
    )
    assert {"-oUser=admin", "-oPort=2222", "-oStrictHostKeyChecking=yes"} <= set(options)
    assert "-oUserKnownHostsFile=/etc/fleet/known hosts" in options
    assert options[options.index("-F") + 1] == "/etc/fleet/ssh_config"
    assert options[options.index("-i") + 1] == str(Path("~/.ssh/fleet").expanduser())
    assert {"-oIdentitiesOnly=yes", "-oBatchMode=yes"} <= set(options)


def test_what_the_inventory_leaves_out_is_left_to_ssh() -> None:
    options = " ".join(ssh_options(box()))
    for name in ("User=", "Port=", "IdentitiesOnly", "UserKnownHostsFile"):
        assert name not in options
    assert "-F" not in options.split() and "-i" not in options.split()


def test_openssh_reads_the_options_as_they_were_meant(tmp_path: Path) -> None:
    """Asked of OpenSSH itself, with a jump host from the configuration file."""
    config = tmp_path / "ssh_config"
    config.write_text("Host gpu-1\n  HostName 192.0.2.1\n  ProxyJump bastion\n  User somebody\n")
    options = ssh_options(Box("gpu-1", (), {"ssh_config_file": str(config), "ssh_port": 2200}))
    shown = subprocess.run(
        ["ssh", *options, "-G", "gpu-1"], capture_output=True, text=True, check=True
    ).stdout
    found = dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)
    assert (found["hostname"], found["port"], found["user"]) == ("192.0.2.1", "2200", "somebody")
    assert found["proxyjump"] == "bastion"
    assert found["batchmode"] == "yes"


@pytest.mark.parametrize("secret", ["ssh_password", "ssh_key_password", "_sudo_password"])
def test_a_password_in_the_inventory_is_refused_and_never_shown(secret: str) -> None:
    said = why_not(box(**{secret: "hunter2"}))
    assert said is not None and secret in said and "hunter2" not in said


def test_a_key_that_is_not_there_is_named() -> None:
    assert "/nowhere/key" in str(why_not(box(ssh_key="/nowhere/key")))


def test_a_closed_port_is_said_with_the_address_and_what_to_do(closed: int) -> None:
    said = str(why_not(box(ssh_hostname="127.0.0.1", ssh_port=closed)))
    assert f"SSH port is closed on 127.0.0.1, port {closed}" in said and "set ssh_port" in said


def test_a_name_that_means_no_address_is_said() -> None:
    said = str(why_not(box(ssh_hostname="no-such-host.invalid")))
    assert "Set ssh_hostname" in said


# What ssh ran on the other side: its standard output, its errors, its exit code.
ANSWERS = {
    "0\n/usr/bin/python3\n": None,
    "1000\n/usr/bin/python3\n": "user is 'user id 1000'; expected root",
    "This account is currently not available.\n": "login shell is one that",
    "0\n": "python3 is missing",
}


@pytest.mark.parametrize(("output", "expected"), ANSWERS.items())
def test_what_answers_is_looked_at_before_it_is_believed(
    output: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(monkeypatch, output, "", 0)
    said = why_not(box())
    assert (said is None) if expected is None else (expected in str(said))


@pytest.mark.parametrize(
    ("stderr", "code", "expected"),
    [
        ("sudo: a password is required", 1, "sudo of user 'admin' is refused"),
        ("admin@x: Permission denied (publickey).", 255, "login is refused for admin"),
        ("Host key verification failed.", 255, "known_hosts"),
        ("ssh: connect to host x port 22: Connection timed out", 255, "Is the box on,"),
    ],
)
def test_what_refuses_is_said_with_what_to_do(
    stderr: str, code: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _answer(monkeypatch, "", stderr, code)
    assert expected in str(why_not(box(ssh_user="admin", _sudo=True)))


def _answer(monkeypatch: pytest.MonkeyPatch, output: str, stderr: str, code: int) -> None:
    def answer(box: Box, command: str, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, code, output, stderr)

    monkeypatch.setattr(inventory_bridge, "run_with_input", answer)


def test_the_others_are_asked_where_one_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, "0\n/usr/bin/python3\n", "", 0)
    here, gone = Box("here", (), {}), Box("gone", (), {"ssh_key": "/nowhere"})
    assert list(unreachable([here, gone])) == ["gone"]


def test_an_inventory_is_read_by_pyinfra_with_its_groups_and_data(tmp_path: Path) -> None:
    inventory = tmp_path / "fleet.py"
    inventory.write_text('cellar = [("box-1", {"ssh_hostname": "192.0.2.1", "gpu_count": 4})]\n')
    (found,) = boxes(str(inventory))
    assert found.name == "box-1" and {"cellar", "fleet"} <= set(found.groups)
    assert found.data["gpu_count"] == 4
    assert found.data["power_limit"]  # of group_data/all.py


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no inventory file"),
        ("hosts = []\n", "has no host"),
        ("hosts = [(\n", "was never closed"),
    ],
)
def test_an_inventory_without_hosts_is_said(
    text: str | None, expected: str, tmp_path: Path
) -> None:
    inventory = tmp_path / "fleet.py"
    if text is not None:
        inventory.write_text(text)
    with pytest.raises(RuntimeError, match=expected):
        boxes(str(inventory))


def test_what_an_inventory_and_its_programs_print_is_no_answer(tmp_path: Path) -> None:
    inventory = tmp_path / "boxes.py"
    inventory.write_text("import os\nprint('own')\nos.system('echo a program')\nboxes = ['one']\n")
    assert [each.name for each in boxes(str(inventory))] == ["one"]
