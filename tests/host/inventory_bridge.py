"""The hosts of any pyinfra inventory as Testinfra hosts: one list of hosts, pyinfra's own.

pyinfra is asked in a process of its own, because importing its command line into pytest changes
the standard library under everybody's feet (gevent).
"""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import testinfra
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Box:
    """A host of the inventory: its name, its groups, and its data as pyinfra merged them."""

    name: str
    groups: tuple[str, ...]
    data: dict[str, Any]

    def __hash__(self) -> int:
        return hash(self.name)

    def matches(self, patterns: list[str]) -> bool:
        """Whether a `--limit` pattern names this host or one of its groups."""
        return not patterns or any(
            pattern in self.groups or fnmatch.fnmatch(self.name, pattern) for pattern in patterns
        )


@cache
def boxes(inventory: str) -> tuple[Box, ...]:
    """Every host of a pyinfra inventory file, in its order.

    Raises RuntimeError with what pyinfra says where it cannot read the file.
    """
    if not Path(inventory).is_file():
        raise RuntimeError(f"no inventory file {inventory}")
    shown = subprocess.run(
        [sys.executable, "-m", "pyinfra", inventory, "debug-inventory", "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if shown.returncode != 0 or not shown.stdout.strip():
        raise RuntimeError(f"pyinfra cannot read {inventory}: {shown.stderr.strip()}")
    return tuple(
        Box(each["name"], tuple(each["groups"]), each["data"]) for each in json.loads(shown.stdout)
    )


def cell_members(box: Box, everyone: tuple[Box, ...]) -> list[Box]:
    """The boxes of the cell that `box` is in, the head first; none where it is in none."""
    cell = box.data.get("cell")
    return [each for each in everyone if cell is not None and each.data.get("cell") == cell]


@cache
def connect(box: Box) -> Host:
    """A connection to `box` with the user, key, port and host keys of its inventory."""
    data = box.data
    address = data.get("ssh_hostname") or box.name
    user = quote(data.get("ssh_user") or "root")
    port = f":{data['ssh_port']}" if data.get("ssh_port") else ""
    options = ["-o BatchMode=yes", "-o ConnectTimeout=10"]
    if known_hosts := data.get("ssh_known_hosts_file"):
        options.append(f"-o UserKnownHostsFile={known_hosts}")
    if strictness := data.get("ssh_strict_host_key_checking"):
        options.append(f"-o StrictHostKeyChecking={strictness}")
    return testinfra.get_host(
        f"ssh://{user}@{address}{port}",
        ssh_identity_file=data.get("ssh_key"),
        ssh_config=data.get("ssh_config_file"),
        ssh_extra_args=" ".join(options),
        # One connection for all the commands: a handshake for each would take four times as long.
        controlpath=str(_control_directory() / f"{box.name}.sock"),
        sudo=bool(data.get("_sudo")),
    )


@cache
def _control_directory() -> Path:
    # Short, because a socket's path may have 108 bytes.
    return Path(tempfile.mkdtemp(prefix="fortyninety-ssh-"))


def disconnect_all() -> None:
    """End every shared connection, and leave no socket behind."""
    for socket in _control_directory().glob("*.sock"):
        subprocess.run(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none"],
            capture_output=True,
            check=False,
        )
    _control_directory().rmdir()
