"""Find the place of a front among those that share an address, and what is wrong with them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
    ip_interface,
)

from fortyninety.problem import Problem
from fortyninety.settings.model import Settings


@dataclass(frozen=True)
class Place:
    """A front among those that share the address `shared` (with its prefix).

    `own` is the address by which the others reach it, `peers` theirs. All are of the family of
    `shared`: keepalived announces no address of one family alone to fronts of the other.
    """

    shared: str
    own: str
    peers: tuple[str, ...]

    @property
    def interface(self) -> IPv4Interface | IPv6Interface:
        """The shared address with its network."""
        return ip_interface(self.shared)

    @property
    def address(self) -> IPv4Address | IPv6Address:
        """The shared address without its prefix."""
        return self.interface.ip

    @property
    def router_id(self) -> int:
        """What VRRP knows the address by, from 1 to 255: the same on every front."""
        return hashlib.sha256(str(self.address).encode()).digest()[0] % 255 + 1


def sharing(settings: Mapping[str, Settings]) -> dict[str, list[str]]:
    """The fronts that share each address, in the inventory's order."""
    shared: dict[str, list[str]] = {}
    for host, each in settings.items():
        if each.virtual_address is not None:
            shared.setdefault(str(ip_interface(each.virtual_address)), []).append(host)
    return shared


def place_of(
    host: str, settings: Mapping[str, Settings], addresses: Mapping[str, str]
) -> Place | None:
    """The place of `host`, or None. `addresses` are by which the fronts reach each other."""
    for shared, fronts in sharing(settings).items():
        if host in fronts:
            peers = tuple(addresses[each] for each in fronts if each != host)
            return Place(shared, addresses[host], peers)
    return None


def sharing_problems(
    settings: Mapping[str, Settings], addresses: Mapping[str, str | None]
) -> Iterator[Problem]:
    """What is wrong with the hosts that share addresses, before any of them is looked at.

    `settings` are those of every host of the inventory whose data could be read, in its order;
    `addresses` what each one's name or address was resolved to, None where that failed.
    """
    of_address: dict[object, str] = {}
    for shared, fronts in sharing(settings).items():
        first = of_address.setdefault(ip_interface(shared).ip, shared)
        for front in fronts:
            if first != shared:
                yield Problem(
                    host=front,
                    subject="virtual_address",
                    found=shared,
                    expected=f"{first}, as other hosts have it: the same prefix on all",
                )
            yield from _own_problems(front, settings[front])
        yield from _address_problems(shared, fronts, settings, addresses)


def _own_problems(host: str, own: Settings) -> Iterator[Problem]:
    if not own.is_front:
        yield Problem(
            host=host,
            subject="virtual_address",
            found=f"{own.virtual_address}, and roles = {own.roles}",
            expected="a host with 'gateway' in roles: fronts share an address",
            remedy="See docs/virtual-address.md",
        )


def _address_problems(
    shared: str,
    fronts: list[str],
    settings: Mapping[str, Settings],
    addresses: Mapping[str, str | None],
) -> Iterator[Problem]:
    remedy = "Set peer_address to the one that the other fronts reach this host by"
    taken = Counter(addresses[each] for each in fronts)
    version = ip_interface(shared).version
    for front in fronts:
        found = addresses[front]
        subject = "peer_address" if settings[front].peer_address else "ssh_hostname"
        if found is None:
            wrong = (
                f"{settings[front].peer_address or 'of the host'}, which cannot be resolved",
                "an address of the host",
            )
        elif ip_address(found).is_loopback:
            wrong = found, "an address that other hosts can reach"
        elif ip_address(found) == ip_interface(shared).ip:
            wrong = found, "an address that stays with the host, and is not the shared one"
        elif taken[found] > 1:
            wrong = f"{found}, as another front's", "one of its own"
        elif ip_address(found).version != version:
            wrong = found, f"an address of IPv{version}, as virtual_address is"
        else:
            continue
        yield Problem(host=front, subject=subject, found=wrong[0], expected=wrong[1], remedy=remedy)
