"""Why a host cannot be connected to, found over real sockets by pyinfra's connector and by OpenSSH.

Run by test_diagnosis in a process of its own: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# First: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State

from fortyninety.connection.account import Account, ask_account, root_fault
from fortyninety.connection.bounded import bounded
from fortyninety.connection.diagnosis import Diagnosis, diagnose
from fortyninety.connection.way import Way

OTHER_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGWYrdtZFGxFL7wnnLBsCWf1TZ5s1aKoBjMOg0Yc0V0M",
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7op"
    "KgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=",
)


@contextmanager
def served(*arguments: str, path: str = "") -> Iterator[tuple[int, str]]:
    """An SSH server: its port and its key. `path` comes before the PATH of its commands."""
    command = [sys.executable, str(Path(__file__).with_name("ssh_server.py")), *arguments]
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A private key's file."""
    return make_key(tmp_path / "key")


def make_key(path: Path, password: str = "") -> str:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", password, "-f", str(path)], check=True
    )
    return str(path)


def data_of(tmp_path: Path, port: int, known: str = "", **more: Any) -> dict[str, Any]:
    """How a host here is reached; `known` is the key that is known of it."""
    # A name for each: pyinfra reads a file once.
    known_hosts = tmp_path / f"known_hosts_{port}"
    known_hosts.write_text(f"[127.0.0.1]:{port} {known}\n" if known else "")
    return {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": port,
        "ssh_user": "root",
        "ssh_known_hosts_file": str(known_hosts),
        "ssh_strict_host_key_checking": "yes",
        **more,
    }


def host_of(data: dict[str, Any]) -> Host:
    state = State(Inventory(([("box", data)], {})))
    (host,) = state.inventory
    bounded(host)
    return host


def by_pyinfra(data: dict[str, Any]) -> Diagnosis:
    with pytest.raises(ConnectError) as failed:
        bounded(host_of(data)).connect()
    return diagnose(Way.of("box", data), str(failed.value))


def by_openssh(data: dict[str, Any]) -> Diagnosis:
    ran = subprocess.run(
        [
            *("ssh", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-F", "/dev/null"),
            *(f"-oUserKnownHostsFile={data['ssh_known_hosts_file']}", "-oIdentitiesOnly=yes"),
            *(("-i", data["ssh_key"]) if "ssh_key" in data else ()),
            *("-p", str(data["ssh_port"]), "-l", data["ssh_user"], data["ssh_hostname"], "true"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 255
    return diagnose(Way.of("box", data), ran.stderr)


BOTH = pytest.mark.parametrize("tried", [by_pyinfra, by_openssh])


@BOTH
def test_a_name_that_means_nothing(tmp_path: Path, tried: Any, key: str) -> None:
    data = data_of(tmp_path, 22, ssh_hostname="no-such-host.invalid", ssh_key=key)
    found = tried(data)
    assert found.step == "name" and "'no-such-host.invalid'" in found.found
    assert "Set ssh_hostname" in found.remedy


@pytest.mark.parametrize("given", [{"nosuch": 1}, {"timeout": "soon"}], ids=str)
def test_an_argument_of_paramiko_that_there_is_not(tmp_path: Path, given: dict[str, Any]) -> None:
    """It is a problem of this host, and ended the run of every one."""
    with served("serve", "/bin/sh") as (port, host_key):
        data = data_of(tmp_path, port, host_key, ssh_paramiko_connect_kwargs=given)
        found = by_pyinfra(data)
    assert found.subject == "ssh_paramiko_connect_kwargs" and found.found.startswith("not taken (")


@BOTH
def test_a_closed_port(tmp_path: Path, tried: Any, key: str) -> None:
    with socket.socket() as free:
        # Bound and not listening: nobody else gets it.
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        found = tried(data_of(tmp_path, port, ssh_key=key))
    assert found.step == "port" and found.found == f"closed on 127.0.0.1, port {port}"


@contextmanager
def saying(line: bytes) -> Iterator[int]:
    """The port of a server that says a line to each, and ends the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(line)

        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


@BOTH
def test_a_port_of_something_else(tmp_path: Path, tried: Any, key: str) -> None:
    with saying(b"HTTP/1.1 400 Bad \x1b[2J\r\n\r\n") as port:
        found = tried(data_of(tmp_path, port, ssh_key=key))
    assert found.step == "port" and "by something else (HTTP/1.1 400 Bad \\x1b" in found.found
    assert found.remedy == "Set ssh_port to where its SSH server listens"


@BOTH
def test_a_port_that_says_nothing(tmp_path: Path, tried: Any, key: str) -> None:
    with saying(b"") as port:
        found = tried(data_of(tmp_path, port, ssh_key=key))
    assert found.step == "port" and "says nothing" in found.found


@BOTH
def test_a_key_that_is_not_known_and_the_line_that_accepts_it(
    tmp_path: Path, tried: Any, key: str
) -> None:
    with served() as (port, _):
        found = tried(data_of(tmp_path, port, ssh_key=key))
    assert found.step == "host key" and f"for [127.0.0.1]:{port}" in found.found
    assert f"ssh-keyscan -p {port} 127.0.0.1 |" in found.remedy
    known = f"-oUserKnownHostsFile={tmp_path}/known_hosts_{port}"
    assert f"`ssh -i {key} {known} -p {port} root@127.0.0.1`" in found.remedy
    assert "reinstalled" not in str(found)


def test_where_nobody_says_why_an_unknown_key_is_looked_for(tmp_path: Path) -> None:
    with served() as (port, own):
        unknown = data_of(tmp_path, port)
        assert diagnose(Way.of("box", unknown), "").step == "host key"
        taken = {**unknown, "ssh_strict_host_key_checking": "no"}
        assert diagnose(Way.of("box", taken), "").step == "port"
        known = data_of(tmp_path, port, own)
        assert diagnose(Way.of("box", known), "").step == "port"


@BOTH
def test_a_key_that_changed(tmp_path: Path, tried: Any, key: str) -> None:
    with served() as (port, own):
        other = next(each for each in OTHER_KEY if each.split()[0] == own.split()[0])
        found = tried(data_of(tmp_path, port, other, ssh_key=key))
    assert found.step == "host key" and found.found.startswith("another than ")
    assert f"ssh-keygen -f {tmp_path}/known_hosts_{port} -R '[127.0.0.1]:{port}'" in found.remedy
    assert "reinstalled" in found.remedy


@BOTH
def test_a_login_that_is_refused_names_the_key(tmp_path: Path, tried: Any, key: str) -> None:
    with served("refuse") as (port, own):
        found = tried(data_of(tmp_path, port, own, ssh_key=key))
    assert found.step == "login" and f"refused for root with the key {key}" in found.found
    assert f"`ssh-copy-id -i {key}.pub -p {port} root@127.0.0.1`" in found.remedy


def test_a_login_that_is_not_answered_is_not_refused(tmp_path: Path, key: str) -> None:
    with served("wait") as (port, own):
        data = data_of(tmp_path, port, own, ssh_key=key)
        found = by_pyinfra({**data, "ssh_paramiko_connect_kwargs": {"auth_timeout": 1}})
        mute = diagnose(Way.of("box", data), "no login within 30 s")
    assert found.step == mute.step == "login"
    assert found.found == "not answered in time for root (Authentication timeout.)"
    assert "nobody refused it" in found.expected and "refused" not in found.found


@pytest.mark.parametrize(("text", "said"), [(None, "not there"), ("no key", "not a private key")])
def test_a_key_file_that_is_none(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "wrong"
    if text is not None:
        path.write_text(text)
    found = by_pyinfra(data_of(tmp_path, 22, ssh_key=str(path)))
    assert (found.step, found.subject) == ("login", "ssh_key") and said in found.found


def test_a_key_with_a_password_that_nobody_is_there_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyinfra.is_cli", False)
    path = make_key(tmp_path / "locked", "a password")
    found = by_pyinfra(data_of(tmp_path, 22, ssh_key=path))
    assert "needs a password" in found.found and f"`ssh-add {path}`" in found.remedy


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def asked(tmp_path: Path, *arguments: str, **more: Any) -> tuple[Account | Diagnosis, Any]:
    """Who a host here says that commands run as, and what is wrong with that."""
    with served(*arguments, path=str(tmp_path / "bin")) as (port, own):
        data = data_of(tmp_path, port, own, ssh_password="any", **more)
        host, way = host_of(data), Way.of("box", data)
        host.connect(raise_exceptions=True)
        answer = ask_account(host, way)
        fault = root_fault(host, way, answer) if isinstance(answer, Account) else answer
        bounded(host).close()
        return answer, fault


def test_root_with_python3_is_all_right(tmp_path: Path) -> None:
    program(tmp_path / "bin", "id", "case $1 in -u) echo 0 ;; *) echo root ;; esac")
    answer, fault = asked(tmp_path)
    assert isinstance(answer, Account) and fault is None
    assert answer.sudo == "root" and answer.python3.startswith("3.") and answer.clock


def test_another_user_is_told_of_sudo(tmp_path: Path) -> None:
    program(tmp_path / "bin", "id", "case $1 in -u) echo 1000 ;; *) echo admin ;; esac")
    program(tmp_path / "bin", "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    _, fault = asked(tmp_path)
    assert fault.step == "root" and "_sudo = True" in fault.remedy
    # pyinfra would ask for a password here, and fail without a terminal.
    _, fault = asked(tmp_path, _sudo=True)
    assert fault.found == "refused (sudo: a password is required)"
    assert "'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/fortyninety" in fault.remedy


@pytest.mark.parametrize("shell", ["echo 'This account is currently not available.'; exit 1", ""])
def test_a_login_shell_that_is_none(tmp_path: Path, shell: str) -> None:
    program(tmp_path / "bin", "nologin", shell)
    answer, fault = asked(tmp_path, "serve", str(tmp_path / "bin" / "nologin"))
    assert answer is fault and fault.step == "shell"
