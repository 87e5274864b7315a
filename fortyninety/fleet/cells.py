"""Find which cells the hosts of a run are in, and what is wrong with those."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Set
from typing import Any

from fortyninety.cell.membership import Membership, cell_problems, membership, named_cell
from fortyninety.problem import Problem
from fortyninety.settings.addresses import is_host_name
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings


def cells_of(
    data: Mapping[str, Mapping[str, Any]], wanted: Set[str]
) -> tuple[dict[str, Membership], list[Problem]]:
    """The place in its cell of each wanted host that has one, and what is wrong with those cells.

    `data` are of every host of the inventory, in its order: a cell is made of all of it, also where
    a limit leaves a member of it out of the run.
    """
    theirs = {named_cell(each) for name, each in data.items() if name in wanted} - {None}
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for name, each in data.items():
        if named_cell(each) not in theirs:
            continue
        parsed = parse_settings(name, each)
        if isinstance(parsed, Settings):
            settings[name] = parsed
        elif name not in wanted:  # Of those in the run they are known.
            problems += parsed
    addresses = {
        name: _ipv4_address(settings[name].cell_address or data[name].get("ssh_hostname") or name)
        for name in settings
    }
    problems += cell_problems(settings, addresses)
    if problems:
        return {}, problems
    known = {name: address for name, address in addresses.items() if address is not None}
    places = {name: membership(name, settings, known) for name in settings if name in wanted}
    return {name: place for name, place in places.items() if place is not None}, []


def _ipv4_address(name: Any) -> str | None:
    """The IPv4 address that a name or an address means here, or None."""
    # A host's name and ssh_hostname are pyinfra's, and not parsed with the settings.
    if not isinstance(name, str) or not is_host_name(name):
        return None
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError):
        return None
