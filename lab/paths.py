"""Name the lab's folders and addresses."""

from __future__ import annotations

import os
from pathlib import Path

BRIDGE = "f90lab"
BRIDGE_ADDRESS = "10.90.0.1"
NETWORK = "10.90.0.0/24"
PREFIX_LENGTH = 24
APT_CACHE_PORT = 3142
HUB_PORT = 8090

# Hosts are lab1 at .11, lab2 at .12 and so on; .1 to .10 are left to the lab's own services.
_FIRST_HOST_OFFSET = 10
MAXIMUM_HOSTS = 200

# One lab at a time on a machine, whatever directory it lives in: the bridge and its addresses are
# fixed. So the lock is the machine's, not the directory's.
LOCK_FILE = Path("/run/lock/fortyninety-lab.lock")


def state_directory() -> Path:
    """What `lab down` removes: hosts, their disks, keys and logs."""
    return Path(os.environ.get("FORTYNINETY_LAB_DIR", "/var/lib/fortyninety-lab"))


def cache_directory() -> Path:
    """What outlives `lab down`: images, saved hosts and everything that was downloaded."""
    return Path(os.environ.get("FORTYNINETY_LAB_CACHE", "/var/cache/fortyninety-lab"))


def host_directory(name: str) -> Path:
    """The directory of one host: its disk, its configuration and its log."""
    return state_directory() / "hosts" / name


def host_name(index: int) -> str:
    """The name of the host with this index, counted from 1."""
    return f"lab{index}"


def host_address(index: int) -> str:
    """The address of the host with this index, counted from 1."""
    return f"10.90.0.{index + _FIRST_HOST_OFFSET}"
