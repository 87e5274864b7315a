"""Find which hosts of an inventory are fronts, which boxes are behind them, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Set
from ipaddress import ip_interface
from typing import Any

from fortyninety.cell.membership import named_cell
from fortyninety.fleet.known_addresses import addresses_of
from fortyninety.plan.fronts import Member, Place, place_of, place_problems
from fortyninety.problem import Problem
from fortyninety.settings.addresses import is_host_name
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings


def fronts_of(
    data: Mapping[str, Mapping[str, Any]], wanted: Set[str]
) -> tuple[dict[str, Place], list[Problem]]:
    """The place of each wanted host that is a front or behind one, and what is wrong with those.

    `data` are of every host of the inventory, in its order: a front knows all of its boxes, also
    where a limit leaves some out of the run. Empty where no host is a front.
    """
    if not any(_names_gateway(each) for each in data.values()):
        return {}, []
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for name, each in data.items():
        parsed = parse_settings(name, each)
        if isinstance(parsed, Settings):
            settings[name] = parsed
        elif name not in wanted:  # Of those in the run they are known.
            problems += parsed
    heads: dict[str, str] = {}
    for name, each in data.items():
        if (cell := named_cell(each)) is not None:
            heads.setdefault(cell, name)
    members = [
        Member(
            name=name,
            settings=its,
            names=names_of(name, data[name], its),
            addresses=addresses_of(name, data[name]),
            answers=its.has_engine and (its.cell is None or heads[its.cell] == name),
        )
        for name, its in settings.items()
    ]
    for name in settings.keys() & wanted:
        problems += place_problems(name, members, are_all=len(members) == len(data))
    if problems:
        return {}, problems
    return {name: place_of(name, members) for name in settings if name in wanted}, []


def names_of(name: str, data: Mapping[str, Any], settings: Settings) -> tuple[str, ...]:
    """The names and addresses of a gateway: the inventory's, never what the host says of itself."""
    asked = (name, data.get("ssh_hostname"), *settings.gateway_names, shared_address(settings))
    names = (each.lower() for each in asked if isinstance(each, str) and is_host_name(each))
    return tuple(dict.fromkeys(names))


def shared_address(settings: Settings) -> str | None:
    """The address that a front shares with others, without its prefix, or None."""
    shared = settings.virtual_address
    return None if shared is None else str(ip_interface(shared).ip)


def _names_gateway(data: Mapping[str, Any]) -> bool:
    roles = data.get("roles")
    return isinstance(roles, list) and "gateway" in roles
