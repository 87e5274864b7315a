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


def is_network(text: str) -> bool:
    """Whether a text is a network of IPv4 or IPv6 with its prefix, or a single address."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "%" not in text and re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", text) is not None


def is_shared_address(text: str) -> bool:
    """Whether a text is an address with its network's prefix, which may belong to one host."""
    if re.fullmatch(r"[0-9A-Fa-f:.]+/[0-9]{1,3}", text) is None:
        return False
    try:
        own = ipaddress.ip_interface(text)
    except ValueError:
        return False
    network, address = own.network, own.ip
    usual = not (address.is_multicast or address.is_loopback or address.is_link_local)
    # Two addresses of a network of IPv4 are nobody's, and one of a network of IPv6.
    nobodys = (
        {network.network_address, network.broadcast_address}
        if own.version == 4
        else {network.network_address}
    )
    return usual and network.prefixlen < own.max_prefixlen - 1 and address not in nobodys


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
