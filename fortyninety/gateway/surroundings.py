"""Read what a front says of its links, and who there has the address that it is to share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from fortyninety.survey.records import Unreadable, quoted

MOST_LINES = 5_000

_LINK = re.compile(r"link ([0-9a-f]{2}(?::[0-9a-f]{2}){5})")
_OWN = re.compile(r"own ([A-Za-z0-9_][A-Za-z0-9_.-]{0,14}) ([0-9a-f.:]{2,45}/[0-9]{1,3})", re.ASCII)
_NEIGHBOUR = re.compile(r"neighbour ([0-9a-f.:]{2,45}) ([0-9a-f]{2}(?::[0-9a-f]{2}){5})")


@dataclass(frozen=True)
class Surroundings:
    """A host's addresses by interface, its links' own addresses, and those of its neighbours."""

    own: tuple[tuple[str, IPv4Interface | IPv6Interface], ...] = ()
    links: frozenset[str] = frozenset()
    neighbours: tuple[tuple[str, str], ...] = ()

    def has(self, address: str) -> bool:
        """Whether the host has an address."""
        return any(each.ip == ip_address(address) for _, each in self.own)

    def interface_for(self, shared: IPv4Interface | IPv6Interface) -> str | None:
        """The interface with a network that holds an address, and with one of its own in that."""
        for name, each in self.own:
            if (
                each.version == shared.version
                and shared.ip in each.network
                and each.network.prefixlen < each.max_prefixlen
                and each.ip != shared.ip
                and not each.is_link_local
            ):
                return name
        return None

    def neighbour(self, address: str) -> str | None:
        """The link's address of a neighbour that answered for an address."""
        wanted = ip_address(address)
        found = (link for each, link in self.neighbours if ip_address(each) == wanted)
        return next(found, None)


def read_surroundings(lines: Iterable[str]) -> Surroundings:
    """What facts/virtual_address.py printed. Raises Unreadable."""
    own, links, neighbours = [], [], []
    for number, line in enumerate(lines):
        if number > MOST_LINES:
            raise Unreadable(f"more than {MOST_LINES} lines of addresses")
        try:
            if match := _LINK.fullmatch(line):
                links.append(match[1])
            elif match := _OWN.fullmatch(line):
                own.append((match[1], ip_interface(match[2])))
            elif match := _NEIGHBOUR.fullmatch(line):
                neighbours.append((str(ip_address(match[1])), match[2]))
            else:
                raise Unreadable(f"{quoted(line)}; expected an address")
        except ValueError as error:
            raise Unreadable(f"{quoted(line)}; expected an address") from error
    return Surroundings(tuple(own), frozenset(links), tuple(neighbours))
