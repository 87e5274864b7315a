"""What `fortyninety init` writes for a box that is a process, and when it writes nothing."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fortyninety.checkout import ROOT
from fortyninety.cli import main
from fortyninety.plan.new_inventory import read_inventory
from tests.unit.readings import records

# What the host's shell answers, by what is in the command.
ANSWERS = {
    "fortyninety asks": [
        *("fortyninety asks", "user 0 root", "sudo root", "python3 3.13", "clock 1"),
    ],
    "read in one round trip": records(),
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder that knows a box at 127.0.0.1; its port is in the file `port`."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    cases = []
    for number, (part, lines) in enumerate(ANSWERS.items()):
        (home / f"answer-{number}").write_text("\n".join(lines) + "\n")
        cases.append(f"*'{part}'*) cat {home}/answer-{number} ;;")
    shell = home / "shell"
    shell.write_text(f"#!/bin/sh\ncase $2 in\n{chr(10).join(cases)}\nesac\n")
    shell.chmod(0o755)
    key = home / ".ssh" / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    command = [
        sys.executable,
        str(ROOT / "tests/unit/connection/ssh_server.py"),
        "serve",
        str(shell),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port, host_key = server.stdout.readline().strip(), server.stdout.readline()
            (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
            (home / "port").write_text(port)
            yield home
        finally:
            server.kill()


def environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(home),
        "SSH_AUTH_SOCK": "",
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(ROOT),
        "TERM": "dumb",
    }


def init(home: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "fortyninety", "init", *arguments],
        cwd=cwd,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_box_that_answers_is_read_and_proposed_and_examined(box: Path, tmp_path: Path) -> None:
    port = (box / "port").read_text()
    given = ("left=127.0.0.1", "--port", port, "--key", "~/.ssh/key", "--output", "new/home.py")
    ran = init(box, tmp_path, *given)
    written = (tmp_path / "new" / "home.py").read_text()
    assert read_inventory(written) == {
        "two_cards": (
            [("left", {"ssh_hostname": "127.0.0.1", "gpu_count": 2})],
            {"ssh_user": "root", "ssh_port": int(port), "ssh_key": "~/.ssh/key"},
        )
    }
    # Its clock is of 1970.
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Wrote new/home.py" in ran.stdout and "timedatectl set-ntp true" in ran.stdout
    assert "fortyninety fit new/home.py" in ran.stdout and "left\n" in ran.stdout
    # The same boxes, the same file; another file stays.
    again = init(box, tmp_path, *given)
    assert "is there already, and says the same" in again.stdout
    (tmp_path / "new" / "home.py").write_text("mine = []\n")
    stays = init(box, tmp_path, *given)
    assert stays.returncode == 1 and "stays as it is; give --yes" in stays.stderr
    assert (tmp_path / "new" / "home.py").read_text() == "mine = []\n"
    replaced = init(box, tmp_path, *given, "--yes")
    assert replaced.returncode == 1 and (tmp_path / "new" / "home.py").read_text() == written


def test_json_is_what_was_written_and_what_doctor_and_fit_say_of_it(
    box: Path, tmp_path: Path
) -> None:
    given = ("left=127.0.0.1", "--port", (box / "port").read_text(), "--key", "~/.ssh/key")
    ran = init(box, tmp_path, *given, "--output", "home.py", "--json")
    page = json.loads(ran.stdout)
    assert (ran.returncode, page["exit_code"], page["command"]) == (1, 1, "init"), ran.stderr
    assert page["result"]["inventory"] == "home.py" and (tmp_path / "home.py").is_file()
    assert [each["host"] for each in page["result"]["hosts"]] == ["left"]
    assert [each["fits"] for each in page["result"]["fit"]] == [True]
    # Its clock is of 1970.
    assert "clock" in [each["subject"] for each in page["problems"]]
    (tmp_path / "home.py").write_text("mine = []\n")
    stays = init(box, tmp_path, *given, "--output", "home.py", "--json")
    (problem,) = json.loads(stays.stdout)["problems"]
    assert stays.returncode == 1 and "stays as it is; give --yes" in problem["message"]


def test_a_box_that_cannot_be_read_is_written_all_the_same_and_said(tmp_path: Path) -> None:
    ran = init(tmp_path, tmp_path, "127.0.0.1", "--port", "1", "--output", "home.py")
    assert ran.returncode == 2, ran.stderr
    assert "closed on 127.0.0.1, port 1" in ran.stdout and "No box could be read" in ran.stdout
    assert list(read_inventory((tmp_path / "home.py").read_text())) == ["not_read"]


def test_what_is_not_given_is_asked_on_a_terminal(box: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    (tmp_path / "home.py").write_text("mine = []\n")
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "fortyninety", "init", "--user", "admin"],
        cwd=tmp_path,
        env=environment(box),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as ran:
        port = (box / "port").read_text()
        os.write(ours, f"127.0.0.1\n{port}\n~/.ssh/key\nhome.py\nn\n".encode())
        assert ran.stdout is not None
        said = ran.stdout.read()
    os.close(ours)
    os.close(theirs)
    assert ran.returncode == 1, said
    assert "Port of SSH [22]" in said and "Replace home.py?" in said
    assert "User of SSH" not in said
    assert (tmp_path / "home.py").read_text() == "mine = []\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give the boxes"),
        (("a b",), "'a b'"),
        (("a;b",), "NAME=ADDRESS"),
        (("x y=192.0.2.1",), "NAME=ADDRESS"),
        (("box", "box"), "there twice"),
        (("a=192.0.2.1", "b=192.0.2.1"), "there twice"),
        (("box", "--user", "root;reboot"), "--user"),
        (("box", "--user", "-oProxyCommand=x"), "--user"),
        (("box", "--port", "70000"), "--port"),
        (("box", "--key", "/nowhere"), "--key"),
        (("box", "--key", "~nobody-has-this/key"), "--key"),
        (("box", "--key", "k" * 300), "--key"),
        (("box", "--output", f"{'a' * 300}.py"), "too long"),
        (("box", "--output", "fleet.txt"), "--output"),
        (("box", "--output", "a-b.py"), "--output"),
    ],
)
def test_what_cannot_be_meant_is_a_wrong_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["init", *arguments])
    assert ended.exit_code == 2 and said in ended.stderr, ended.stderr
    assert list(tmp_path.iterdir()) == []
