"""Find to which other hosts of an inventory a host hands its model on."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pyinfra import logger

from fortyninety.fleet.known_addresses import addresses_of


def peers_of(data: Mapping[str, Mapping[str, Any]], wanted: Set[str]) -> dict[str, tuple[str, ...]]:
    """The addresses of the peers of each wanted host whose firewall is to let in these alone.

    `data` are of every host of the inventory: one that a limit leaves out of this run takes part in
    the next.
    """
    closed = [name for name in data if name in wanted and data[name].get("firewall") is True]
    closed = [name for name in closed if _hands_on(data[name])]
    if not closed:
        return {}
    known = {name: addresses_of(name, each) for name, each in data.items() if _hands_on(each)}
    for name in (name for name, addresses in known.items() if not addresses):
        logger.warning(
            f"[{name}] its address is not found here, so firewalls keep it from taking the model "
            "from its peers; set peer_address or ssh_hostname"
        )
    return {
        name: tuple(
            dict.fromkeys(
                one for other, addresses in known.items() if other != name for one in addresses
            )
        )
        for name in closed
    }


def _hands_on(data: Mapping[str, Any]) -> bool:
    """Whether a host takes part in exchanges, whatever else is wrong with its data."""
    roles = data.get("roles")
    return isinstance(roles, list) and "engine" in roles and data.get("snapshot_peers") is not False
