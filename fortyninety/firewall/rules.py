"""Say who may come in to a host: what of its settings and its reading, and the rules for that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TypeVar

from fortyninety.cell.membership import Membership
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading
from fortyninety.templates import render

# How the kernel listed the rules when they were loaded (survey.sh compares).
LOADED = "/run/fortyninety/firewall"

Network = TypeVar("Network", IPv4Network, IPv6Network)


@dataclass(frozen=True)
class Door:
    """TCP ports, and the networks that they are open to; without any network, to everybody."""

    what: str
    ports: tuple[int, ...]
    networks: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """What each of its rules asks of a packet's sender: "ip saddr { ... } "; "" is nothing."""
        return _sources(self.networks) if self.networks else ("",)


def _sources(names: Iterable[str]) -> tuple[str, ...]:
    networks = [ip_network(each) for each in names]
    # The kernel takes no set in which one network holds another.
    of_kind: dict[str, list[str]] = {
        "ip": _joined(each for each in networks if isinstance(each, IPv4Network)),
        "ip6": _joined(each for each in networks if isinstance(each, IPv6Network)),
    }
    return tuple(
        f"{kind} saddr {{ {', '.join(found)} }} " for kind, found in of_kind.items() if found
    )


def _joined(networks: Iterable[Network]) -> list[str]:
    return [str(each) for each in collapse_addresses(networks)]


@dataclass(frozen=True)
class Firewall:
    """What is let in beside answers: members of the cell with everything, others through `doors`.

    `other_ports` are open to everybody, for TCP and UDP. `sharing` have
    an address together with the host.
    """

    doors: tuple[Door, ...]
    other_ports: tuple[int, ...] = ()
    members: tuple[str, ...] = ()
    sharing: tuple[str, ...] = ()

    @property
    def saying(self) -> tuple[str, ...]:
        """What the rules of those who share an address ask of a packet's sender."""
        return _sources(self.sharing)

    @property
    def rules(self) -> str:
        """The rules, as nft loads them."""
        return self._render(self.digest)

    @property
    def digest(self) -> str:
        """What the table in the kernel says it was made from."""
        return hashlib.sha256(self._render("").encode()).hexdigest()[:16]

    def _render(self, digest: str) -> str:
        return render("fortyninety-firewall.nft.j2", firewall=self, digest=digest)


def firewall_of(
    settings: Settings,
    reading: HostReading,
    cell: Membership | None,
    fronts: Sequence[str] = (),
    peers: Sequence[str] = (),
) -> Firewall | None:
    """The firewall of a host; None where the settings want none.

    `fronts` and `peers` are the addresses of those that it lets in at their ports.
    """
    if not settings.firewall:
        return None
    doors = [Door("SSH", reading.firewall.ssh_ports, tuple(settings.allowed_networks))]
    if settings.is_front or (settings.has_engine and settings.gateway):
        networks = tuple(settings.gateway_allowed_networks)
        doors.append(Door("the gateway", (settings.gateway_port,), networks))
    if fronts:
        doors.append(Door("the fleet's fronts", (settings.gateway_fronts_port,), tuple(fronts)))
    if settings.signals_port is not None:
        networks = tuple(settings.signals_allowed_networks)
        doors.append(Door("the fleet's monitor", (settings.signals_port,), networks))
    if settings.has_engine and settings.snapshot_peers and peers:
        what = "peers, by rsync while a run has it listen"
        doors.append(Door(what, (settings.peer_port,), tuple(peers)))
    return Firewall(
        doors=tuple(doors),
        other_ports=tuple(sorted(set(settings.other_listening_ports))),
        members=() if cell is None else tuple(sorted(set(cell.addresses))),
    )


def firewall_unit(rules: str) -> str:
    """The text of the unit that loads them at boot from the file `rules`."""
    return render("fortyninety-firewall.service.j2", rules=rules, loaded=LOADED)
