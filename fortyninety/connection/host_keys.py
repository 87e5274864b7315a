"""Refuse to talk to a host whose SSH key is unknown."""

from __future__ import annotations

import shlex
from pathlib import Path

from paramiko import SSHException
from paramiko.hostkeys import HostKeys

# What pyinfra is told for a host whose data says nothing. Its own default takes any new key, so
# that whoever answers first in the host's place is root's host from then on.
SETTING = "ssh_strict_host_key_checking"
STRICT = "yes"


def is_about_the_key(said: str) -> bool:
    """Whether a refused connection, in pyinfra's or OpenSSH's words, is about the host's key."""
    return any(words in said for words in ("known_hosts", "ost key", "host_key"))


def is_known(address: str, port: int | None = None, known_hosts: str | None = None) -> bool:
    """Whether a file of known hosts has a key for the host by this name; True where it is unread.

    A host that ~/.ssh/config calls otherwise is not found: what follows is only advice.
    """
    file = Path(known_hosts or "~/.ssh/known_hosts").expanduser()
    name = address if port in (None, 22) else f"[{address}]:{port}"
    try:
        keys = HostKeys(str(file)) if file.exists() else HostKeys()
        return keys.lookup(name) is not None
    except (OSError, ValueError, SSHException):
        return True


def key_remedy(address: str, port: int | None = None, known_hosts: str | None = None) -> str:
    """What to do about a host's key that is not known, or is another than the known one."""
    option = "" if port in (None, 22) else f" -p {port}"
    file = known_hosts or "~/.ssh/known_hosts"
    return (
        f"A new host: `ssh-keyscan{option} {shlex.quote(address)}`, compare with `ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub` on its own console, and add the line to {file}. A "
        "host that was reinstalled: replace its line. Any other: somebody answers in its place"
    )
