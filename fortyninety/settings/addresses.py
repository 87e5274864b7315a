"""Check addresses in settings, of hosts and of HTTP servers. Never with a user or a password."""

from __future__ import annotations

import ipaddress
import re

# RFC 1123, 2.1, and the underscore that people's own names have: labels of 1 to 63, 253 in all.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
LONGEST_NAME = 253
LONGEST_ADDRESS = 500

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    # No `?` and `#`: what is put there is a credential as often as not, and nothing of ours asks.
    r"(?P<path>(/[A-Za-z0-9._~%+=,:-]*)*)"
)


def is_host_name(text: str) -> bool:
    """Whether a text is a host's name, or an IPv4 or IPv6 address (without brackets)."""
    try:
        ipaddress.ip_address(text)
        # A zone ("fe80::1%eth0") is a word of its own to a shell and to a unit.
        return "%" not in text
    except ValueError:
        return len(text) <= LONGEST_NAME and all(map(_LABEL.fullmatch, text.split(".")))


def is_http_address(text: str) -> bool:
    """Whether a text is http:// or https://, a host, perhaps a port and a path, and no more."""
    match = _ADDRESS.fullmatch(text)
    if match is None or len(text) > LONGEST_ADDRESS:
        return False
    host = match["host"]
    if not is_host_name(host.strip("[]")) or (match["port"] and not 0 < int(match["port"]) < 65536):
        return False
    return not any(part in (".", "..") for part in match["path"].split("/"))


def is_file_address(text: str) -> bool:
    """Whether a text is file:// and an absolute path."""
    path = text.removeprefix("file://")
    return (
        path != text
        and len(text) <= LONGEST_ADDRESS
        and re.fullmatch(r"(/[A-Za-z0-9._+-]+)+/?", path) is not None
        and not any(part in (".", "..") for part in path.split("/"))
    )
