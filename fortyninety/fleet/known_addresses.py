"""Find the addresses by which the other hosts of an inventory reach one."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from fortyninety.settings.addresses import is_host_name


def addresses_of(name: str, data: Mapping[str, Any]) -> tuple[str, ...]:
    """What the name that a host's data give means here, IPv4 first; empty where it means nothing.

    Of data that were not parsed, since the host may be one that a limit leaves out of the run.
    """
    known = data.get("peer_address") or data.get("ssh_hostname") or name
    # A host's name and ssh_hostname are pyinfra's, and not parsed with the settings.
    if not isinstance(known, str) or not is_host_name(known):
        return ()
    try:
        found = socket.getaddrinfo(known, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    addresses = {str(each[4][0]).partition("%")[0]: each[0] for each in found}
    return tuple(sorted(addresses, key=lambda each: (addresses[each] != socket.AF_INET, each)))
