"""Refuse to talk to a host whose SSH key is unknown."""

from __future__ import annotations

from paramiko import SSHException
from paramiko.hostkeys import HostKeys

from fortyninety.connection.home import expanded

# The value for hosts without the setting. pyinfra's default accepts any new key, so that whoever
# answers first in the host's place would get root's commands.
SETTING = "ssh_strict_host_key_checking"
STRICT = "yes"


def is_known(address: str, port: int | None = None, known_hosts: str | None = None) -> bool:
    """Whether a file of known hosts has a key for this name; True where it cannot be read.

    Aliases of ~/.ssh/config are not resolved: the result is used for advice only.
    """
    file = expanded(known_hosts or "~/.ssh/known_hosts")
    name = address if port in (None, 22) else f"[{address}]:{port}"
    try:
        keys = HostKeys(str(file)) if file.exists() else HostKeys()
        return keys.lookup(name) is not None
    except (OSError, ValueError, SSHException):
        return True
