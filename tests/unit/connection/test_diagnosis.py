"""Why a host cannot be reached, in a process whose standard library pyinfra may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.connection.account import read_account
from fortyninety.connection.diagnosis import diagnose
from fortyninety.connection.host_keys import is_known
from fortyninety.connection.way import Way
from tests.unit.own_process import passed_in_a_process_of_its_own


def test_every_failure_is_named_by_its_step_and_what_mends_it() -> None:
    cases = Path(__file__).with_name("diagnosis_cases.py")
    assert "25 passed" in passed_in_a_process_of_its_own(cases)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({}, "ssh box"),
        ({"ssh_port": 22, "ssh_user": "root"}, "ssh root@box"),
        ({"ssh_hostname": "a;b", "ssh_key": "~/my keys/k"}, "ssh -i ~/'my keys/k' 'a;b'"),
        ({"ssh_port": 70000, "ssh_user": 7}, "ssh box"),
        ({"ssh_config_file": "/etc/c"}, "ssh -F /etc/c box"),
    ],
)
def test_the_line_to_try_by_hand_goes_the_same_way(data: dict[str, object], line: str) -> None:
    assert Way.of("box", data).ssh == line


def test_a_jump_host_of_the_configuration_is_known(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host box\n  HostName 192.0.2.1\n  Port 2200\n  ProxyJump bastion\n")
    way = Way.of("box", {"ssh_config_file": str(config)})
    assert way.has_jump_host and way.resolved == ("192.0.2.1", 2200)
    assert not Way.of("other", {"ssh_config_file": str(config)}).has_jump_host
    # Nothing is asked from here, where there is no way but through it.
    found = diagnose(way, "SSH error (Error reading SSH protocol banner)")
    assert found.found == (
        "refused or unanswered through the jump host (Error reading SSH protocol banner)"
    )
    assert f"`ssh -F {config} box -v`" in found.remedy


@pytest.mark.parametrize("port", ["ssh", "0", "70000", "9" * 5000])
def test_a_port_of_the_configuration_that_is_none_ends_nothing(tmp_path: Path, port: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host box\n  Port {port}\n")
    assert Way.of("box", {"ssh_config_file": str(config)}).resolved == ("box", 22)


@pytest.mark.parametrize("path", ["~nobody-has-this/x", "k" * 300])
def test_a_file_that_cannot_be_is_one_that_is_not_there(path: str) -> None:
    data = {"ssh_config_file": path, "ssh_key": path, "ssh_known_hosts_file": path}
    way = Way.of("box", data)
    assert way.resolved == ("box", 22) and not way.has_jump_host
    assert diagnose(way, "No host key for box found").found.startswith(repr(path))
    assert not is_known("box", 22, "~nobody-has-this/x")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Could not resolve hostname ([Errno -2] Name or service not known)", "(Name or service"),
        ("Authentication error (username=root) (Authentication failed.)", "(Authentication failed"),
        ("ssh: Could not resolve hostname a: Temporary failure", "(ssh: Could not resolve"),
    ],
)
def test_words_of_the_library_are_shown_without_those_around_them(said: str, shown: str) -> None:
    assert shown in diagnose(Way.of("box", {}), said).found


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["This account is currently not available."],
        ["fortyninety asks", "user x root", "sudo root", "python3", "clock 1"],
        ["fortyninety asks", "user 0 root", "sudo root", "clock 1"],
        ["fortyninety asks", "user", "sudo root", "python3 3", "clock 1"],
    ],
)
def test_an_answer_that_is_none_is_no_account(lines: list[str]) -> None:
    assert read_account(lines) is None


def test_what_a_login_prints_of_its_own_is_kept_apart() -> None:
    account = read_account(
        ["Welcome \x1b[2J", "fortyninety asks", "user 0 root", "sudo root", "python3 ", "clock x"]
    )
    assert account is not None
    assert account.noise == "Welcome \\x1b[2J" and account.python3 == "" and account.clock is None
