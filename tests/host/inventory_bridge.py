"""The hosts of any pyinfra inventory as Testinfra hosts: one list of hosts, pyinfra's own.

pyinfra is asked in a process of its own, because importing its command line into pytest changes
the standard library under everybody's feet (gevent). The connection is OpenSSH's, with what the
inventory says of user, port, key, host keys, jump hosts (`ssh_config_file`) and sudo.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from testinfra.host import Host

import fortyninety
from fortyninety.connection.account import no_python3, not_root, odd_shell, sudo_refused
from fortyninety.connection.diagnosis import diagnose, key_file_fault
from fortyninety.connection.way import Way
from fortyninety.text.printable import printable
from tests.host.bounded_ssh import BoundedSshBackend
from tests.host.host_shell import RUN_COMMANDS, HostShell

# How long a host may take to answer at all, in seconds; then once more for the question itself.
CONNECT_TIMEOUT = 10


@dataclass(frozen=True)
class Box:
    """A host of the inventory: its name, its groups, and its data as pyinfra merged them."""

    name: str
    groups: tuple[str, ...]
    data: dict[str, Any]

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def address(self) -> str:
        """What SSH is given."""
        return str(self.data.get("ssh_hostname") or self.name)

    @property
    def user(self) -> str:
        """Who logs in, in words."""
        return str(self.data.get("ssh_user") or "the user of your SSH configuration")


def boxes(inventory: str) -> tuple[Box, ...]:
    """Every host of a pyinfra inventory file, in its order.

    Raises RuntimeError with what is wrong in one line where it cannot be used.
    """
    above = [str(Path(fortyninety.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "fortyninety.fleet.read_inventory", inventory],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, above))},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    try:
        page = json.loads(ran.stdout)
    except ValueError:
        said = printable(_last_line(ran.stderr)) or "it said nothing"
        raise RuntimeError(f"{inventory} ended the process that read it ({said})") from None
    if "unusable" in page:
        raise RuntimeError(page["unusable"])
    return tuple(Box(each["name"], tuple(each["groups"]), each["data"]) for each in page["hosts"])


def cell_members(box: Box, everyone: tuple[Box, ...]) -> list[Box]:
    """The boxes of the cell that `box` is in, the head first; none where it is in none."""
    cell = box.data.get("cell")
    return [each for each in everyone if cell is not None and each.data.get("cell") == cell]


def ssh_options(box: Box) -> list[str]:
    """OpenSSH's options for a box, as pyinfra's own connector takes them from the same data."""
    data = box.data
    named = {
        "BatchMode": "yes",
        "ConnectTimeout": CONNECT_TIMEOUT,
        "ServerAliveInterval": 15,
        # One connection for all the sessions: a handshake takes longer than most commands.
        "ControlMaster": "auto",
        "ControlPersist": "60s",
        "ControlPath": control_directory() / f"{box.name}.sock",
        # As in a deploy: a host whose key is not known is not talked to.
        "StrictHostKeyChecking": data.get("ssh_strict_host_key_checking") or "yes",
        "UserKnownHostsFile": data.get("ssh_known_hosts_file"),
        "User": data.get("ssh_user"),
        "Port": data.get("ssh_port"),
    }
    options = [f"-o{name}={value}" for name, value in named.items() if value is not None]
    if config := data.get("ssh_config_file"):
        options += ["-F", str(Path(config).expanduser())]
    if key := data.get("ssh_key"):
        options += ["-i", str(Path(key).expanduser()), "-oIdentitiesOnly=yes"]
    return options


@contextmanager
def connected(box: Box) -> Iterator[Host]:
    """Testinfra's view of a box, over the shared connection."""
    words = ["ssh", *ssh_options(box), box.address, "--", _elevated(box, RUN_COMMANDS)]
    with closing(HostShell(words)) as shell:
        backend = BoundedSshBackend(box.address, shell)
        host = Host(backend)
        backend.set_host(host)
        yield host


def run_with_input(box: Box, command: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a box with `text` on its standard input: what no command line may show."""
    return subprocess.run(
        ["ssh", *ssh_options(box), box.address, "--", _elevated(box, command)],
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _elevated(box: Box, command: str) -> str:
    if not box.data.get("_sudo"):
        return command
    user = box.data.get("_sudo_user")
    as_user = f"-u {shlex.quote(user)} " if user else ""
    return f"sudo -n {as_user}-- /bin/sh -c {shlex.quote(command)}"


def unreachable(found: list[Box]) -> dict[str, str]:
    """Why each of the boxes that cannot be looked at cannot be, by name; asked side by side."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        reasons = pool.map(why_not, found)
        return {box.name: why for box, why in zip(found, reasons, strict=True) if why}


def why_not(box: Box) -> str | None:
    """Why a box cannot be looked at: found, expected, what to do. None where it can be."""
    for secret in ("ssh_password", "ssh_key_password", "_sudo_password"):
        if box.data.get(secret):
            return (
                f"{secret} is set; expected a key that needs no password here. Load it into "
                "ssh-agent, and let sudo ask for none (NOPASSWD)"
            )
    way = Way.of(box.name, box.data)
    if fault := key_file_fault(way):
        return str(fault)
    try:
        asked = run_with_input(box, "id -u; command -v python3", "")
    except subprocess.TimeoutExpired:
        return f"{box.address} took the connection and answers no command. Look at its console"
    if asked.returncode == 255:
        return str(diagnose(way, asked.stderr or "the connection ended"))
    return _not_usable(box, way, asked.stdout.split(), asked.stderr)


def _not_usable(box: Box, way: Way, found: list[str], said: str) -> str | None:
    """What a box that answers lacks, from its user id and the path of its python3."""
    user = way.user or "that user"
    if way.sudo and not found:
        return str(sudo_refused(way, user, _last_line(said)))
    if not found or not found[0].isdecimal():
        return str(odd_shell(way, " ".join(found) or _last_line(said)))
    if found[0] != "0":
        return str(not_root(way, f"user id {found[0]}"))
    return str(no_python3(way)) if len(found) < 2 else None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


CONTROL_DIRECTORY = "FORTYNINETY_SSH_DIRECTORY"


@cache
def control_directory() -> Path:
    """Where the sockets of the shared connections are, for this process and those it starts."""
    if given := os.environ.get(CONTROL_DIRECTORY):
        return Path(given)
    # Short, because a socket's path may have 108 bytes.
    made = tempfile.mkdtemp(prefix="fortyninety-ssh-")
    os.environ[CONTROL_DIRECTORY] = made
    return Path(made)


def disconnect_all() -> None:
    """End every shared connection, and leave no socket behind."""
    for socket in control_directory().glob("*.sock"):
        subprocess.run(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none"],
            capture_output=True,
            check=False,
        )
    shutil.rmtree(control_directory(), ignore_errors=True)
    os.environ.pop(CONTROL_DIRECTORY, None)
    control_directory.cache_clear()
