"""Any inventory file, in any state: its hosts by strict keys, or one line and exit code 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from fortyninety.settings.defaults import default_setting
from tests.host.inventory_bridge import Box, boxes, ssh_options

COMMANDS = (["rollback"], ["fit"], ["drift"], ["snapshot", "verify"])

FAULTS = {
    "hosts = [(\n": ("line 1", "was never closed"),
    "hosts = []\nimport no_such_module\n": ("line 2", "no_such_module"),
    "from lab.no_such import x\n": ("line 1", "No module named"),
    "x = 1\nhosts = [undefined]\n": ("line 2", "NameError"),
    "raise SystemExit('bye')\n": ("line 1", "bye"),
    "hosts = [('a', 7)]\n": ("", ""),
    "hosts = [(7, {})]\n": ("", ""),
    "hosts = 7\n": ("", "has no host"),
    "hosts = {'a': {}}\n": ("", "has no host"),
    "hosts = ()\n": ("", ""),
    "def f(): f()\nf()\n": ("line 1", "Recursion"),
    "hosts = ['a\\x1b[2Jb']\nraise ValueError('\\x1b[2J\\nx')\n": ("line 2", "ValueError"),
    "\0": ("", ""),
}


def fortyninety(*arguments: str, home: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from fortyninety.cli import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "SSH_AUTH_SOCK": ""},
        check=False,
    )


# In one process: pyinfra_cli patches the standard library, and takes seconds to load.
READ_EACH = """
import json, sys
import pyinfra_cli.main
from click.testing import CliRunner
from fortyninety.cli import main
for command, path in json.loads(sys.argv[1]):
    ended = CliRunner().invoke(main, [*command, path])
    print(json.dumps([ended.exit_code, ended.stderr]))
"""


def test_an_inventory_in_any_state_is_one_line_and_2(tmp_path: Path) -> None:
    files = []
    for number, text in enumerate(FAULTS):
        path = tmp_path / f"fleet{number}.py"
        path.write_text(text)
        files.append(path)
    # Every file by one command, the first by every command.
    runs = [(COMMANDS[number % len(COMMANDS)], file) for number, file in enumerate(files)]
    runs += [(command, files[0]) for command in COMMANDS]
    ran = subprocess.run(
        [sys.executable, "-c", READ_EACH, json.dumps([(each, str(path)) for each, path in runs])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in ran.stderr
    for (command, file), ended in zip(runs, ran.stdout.splitlines(), strict=True):
        line, said = FAULTS[file.read_text()]
        code, stderr = json.loads(ended)
        shown = f"{command} {file.read_text()!r}: {stderr}"
        assert code == 2, shown
        assert "Traceback" not in stderr and "\x1b" not in stderr, shown
        errors = [text for text in stderr.splitlines() if text.startswith("Error: ")]
        assert len(errors) == 1 and file.name in errors[0], shown
        assert line in errors[0] and said in errors[0], shown


@pytest.mark.parametrize("command", ["rollback", "drift"])
def test_a_cell_that_is_no_name_and_an_address_that_is_none_are_problems(
    tmp_path: Path, command: str
) -> None:
    wrong = {"cell": ["x"], "profile": ["y"], "engine": [1]}
    names = ("c", {"cell": "a", "engine": "0.32.0", "ssh_hostname": "a..b"})
    hosts = [("@fake/a", {}), ("@fake/b", wrong), (f"@fake/{names[0]}", names[1])]
    inventory, answers = tmp_path / "boxes.py", tmp_path / "answers.json"
    inventory.write_text(f"boxes = {hosts!r}\n")
    answers.write_text(json.dumps({name: [] for name, _ in hosts}))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.unit.imagined_hosts", answers, command, inventory],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    said = ended.stdout + ended.stderr
    for key in ("cell", "profile", "engine"):
        assert f"@fake/b: {key} is [" in said, said


def test_an_inventory_of_any_name_has_strict_host_keys(tmp_path: Path) -> None:
    inventory = tmp_path / "anything.py"
    inventory.write_text("cellar = ['box-1', ('box-2', {'ssh_port': 2222})]\n")
    for each in boxes(str(inventory)):
        assert each.data["ssh_strict_host_key_checking"] == "yes"
        assert "-oStrictHostKeyChecking=yes" in ssh_options(each)


def test_the_bridge_is_strict_where_nothing_is_said() -> None:
    assert "-oStrictHostKeyChecking=yes" in ssh_options(Box("box", (), {}))


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """The port of an SSH server here, whose key nobody knows."""
    command = [sys.executable, str(ROOT / "tests/unit/connection/ssh_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def known_hosts(home: Path) -> Path:
    """The file that a client which takes any key would add to."""
    file = home / ".ssh" / "known_hosts"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def inventory_of(tmp_path: Path, port: int) -> Path:
    known_hosts(tmp_path)
    path = tmp_path / "cellar.py"
    path.write_text(
        f"hosts = [('127.0.0.1', {{'ssh_port': {port}, 'ssh_user': 'root', 'ssh_password': 'x'}})]"
    )
    return path


def test_a_host_whose_key_is_not_known_is_refused_with_what_to_do(
    tmp_path: Path, server: int
) -> None:
    ended = fortyninety("drift", str(inventory_of(tmp_path, server)), home=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert f"ssh-keyscan -p {server} 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert known_hosts(tmp_path).read_text() == ""


def test_a_deploy_refuses_it_too(tmp_path: Path, server: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", str(inventory_of(tmp_path, server)), "deploy.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path), "SSH_AUTH_SOCK": ""},
        check=False,
    )
    assert ended.returncode != 0
    assert "No host key for" in ended.stderr
    assert known_hosts(tmp_path).read_text() == ""


def test_from_another_folder_the_defaults_are_found_and_keys_are_strict(
    tmp_path: Path, server: int
) -> None:
    inventory = inventory_of(tmp_path, server)
    ended = fortyninety("drift", str(inventory), home=tmp_path, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "group_data" not in ended.stderr
    assert f"ssh-keyscan -p {server} 127.0.0.1" in ended.stderr
    assert known_hosts(tmp_path).read_text() == ""


def test_of_two_groups_data_the_inventory_s_own_folder_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defaults, then the working folder, then the folder of the inventory."""
    here, beside = tmp_path / "here", tmp_path / "beside"
    for folder, text in ((here, "port = 1\npeer_port = 1\n"), (beside, "port = 2\n")):
        (folder / "group_data").mkdir(parents=True)
        (folder / "group_data" / "all.py").write_text(text)
    inventory = beside / "fleet.py"
    inventory.write_text("fleet = ['box-1']\n")
    monkeypatch.chdir(here)
    (box,) = boxes(str(inventory))
    assert (box.data["port"], box.data["peer_port"]) == (2, 1)
    assert box.data["cell_port"] == default_setting("cell_port")
