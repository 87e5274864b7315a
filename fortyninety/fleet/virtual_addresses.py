"""Find which fronts of a run share addresses, and whether their hosts can."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Set
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Any

from pyinfra import logger
from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.deadlines import COMMAND
from fortyninety.facts.virtual_address import Neighbourhood
from fortyninety.gateway.shared_address import Place, place_of, sharing_problems
from fortyninety.gateway.surroundings import read_surroundings
from fortyninety.plan.host_virtual_address import virtual_address_problems
from fortyninety.plan.virtual_address import Shared
from fortyninety.problem import Problem
from fortyninety.settings.addresses import is_host_name
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.reading import HostReading
from fortyninety.survey.records import Unreadable


def places_of(
    data: Mapping[str, Mapping[str, Any]], wanted: Set[str]
) -> tuple[dict[str, Place], list[Problem]]:
    """The place of each wanted host that shares an address, and what is wrong with the sharing.

    `data` are of every host of the inventory, in its order: the fronts of an address are all that
    name it, also where a limit leaves some of them out of the run.
    """
    if not any(data[name].get("virtual_address") for name in wanted):
        return {}, []
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for name, own in data.items():
        if not own.get("virtual_address"):
            continue
        parsed = parse_settings(name, own)
        if isinstance(parsed, Settings):
            settings[name] = parsed
        elif name not in wanted:  # Of those in the run they are known.
            problems += parsed
    addresses = {
        name: _address(
            each.peer_address or data[name].get("ssh_hostname") or name,
            ip_interface(each.virtual_address or ""),
        )
        for name, each in settings.items()
    }
    problems += sharing_problems(settings, addresses)
    if problems:
        return {}, problems
    known = {name: address for name, address in addresses.items() if address is not None}
    places = {name: place_of(name, settings, known) for name in settings if name in wanted}
    found = {name: place for name, place in places.items() if place is not None}
    for name, place in found.items():
        if not place.peers:
            logger.warning(
                f"[{name}] virtual_address: {place.address} has no other front in the inventory; "
                "nobody takes it where this one dies"
            )
    return found, []


def neighbourhood(state: State, host: Host, place: Place) -> list[str]:
    """What the host says of its addresses and of who has the one that it is to share."""
    found: list[str] = get_fact(
        state,
        host,
        Neighbourhood,
        kwargs={
            "shared": str(place.address),
            "peers": place.peers,
            "_timeout": COMMAND,
        },
        apply_failed_hosts=False,
    )
    return found


def shared_of(
    host: Host, place: Place, reading: HostReading, said: list[str]
) -> tuple[Shared | None, list[Problem]]:
    """What of a front's sharing depends on its host, and what is wrong with that."""
    try:
        around = read_surroundings(said)
    except Unreadable as unreadable:
        problem = Problem(
            host=host.name,
            subject="virtual_address",
            found=f"around the host: not readable ({unreadable})",
            expected="what `ip` says of addresses",
        )
        return None, [problem]
    problems = list(virtual_address_problems(host.name, place, reading, around))
    interface = around.interface_for(place.interface)
    if problems or interface is None:
        return None, problems
    return Shared(place, interface), []


def _address(name: Any, shared: IPv4Interface | IPv6Interface) -> str | None:
    """The address that a name means here, of the shared one's family where it has one, or None."""
    # A host's name and ssh_hostname are pyinfra's, and not parsed with the settings.
    if not isinstance(name, str) or not is_host_name(name):
        return None
    families = [socket.AF_INET, socket.AF_INET6]
    for family in families if shared.version == 4 else reversed(families):
        try:
            return str(ip_address(socket.getaddrinfo(name, None, family)[0][4][0]))
        except (OSError, UnicodeError, ValueError):
            continue
    return None
