"""Ask, before anything is changed, whether a host can have the address, and whether another has."""

from __future__ import annotations

from collections.abc import Iterator

from fortyninety.gateway.shared_address import Place
from fortyninety.gateway.surroundings import Surroundings
from fortyninety.plan.paths import KEEPALIVED_SERVICE, VIRTUAL_ADDRESS_SERVICE
from fortyninety.problem import Problem
from fortyninety.survey.reading import HostReading

_RUNS = ("active", "activating", "reloading", "deactivating")


def virtual_address_problems(
    host: str, place: Place, reading: HostReading, around: Surroundings
) -> Iterator[Problem]:
    """Why a host that was read cannot share the address."""
    address = str(place.address)
    if reading.unit(KEEPALIVED_SERVICE, "ActiveState") in _RUNS:
        yield Problem(
            host=host,
            subject=KEEPALIVED_SERVICE,
            found="active: somebody's own keepalived",
            expected=f"none beside {VIRTUAL_ADDRESS_SERVICE}",
            remedy=f"`systemctl disable --now {KEEPALIVED_SERVICE}` if it is not needed",
        )
    if not around.has(place.own):
        yield Problem(
            host=host,
            subject="peer_address",
            found=place.own,
            expected=f"one of the host's own: {_own(around)}",
            remedy="Fronts that share an address reach each other without address translation",
        )
    if around.interface_for(place.interface) is None:
        yield Problem(
            host=host,
            subject="virtual_address",
            found=place.shared,
            expected=f"one in a network of the host: {_own(around)}",
            remedy="All fronts must be on the link that the address belongs to",
        )
    if around.has(address):
        if reading.unit(VIRTUAL_ADDRESS_SERVICE, "ActiveState") not in _RUNS:
            yield Problem(
                host=host,
                subject="virtual_address",
                found=f"{address}, which the host has without {VIRTUAL_ADDRESS_SERVICE}",
                expected="an address of nobody",
                remedy="Choose another, or take it out of the host's own configuration",
            )
        return
    yield from _taken(host, place, around)


def _taken(host: str, place: Place, around: Surroundings) -> Iterator[Problem]:
    holder = around.neighbour(str(place.address))
    fronts = {around.neighbour(peer) for peer in place.peers} | around.links
    if holder is not None and holder not in fronts:
        yield Problem(
            host=host,
            subject="virtual_address",
            found=f"{place.address}, which {holder} has",
            expected="an address of nobody, or of another front of it",
            remedy="Choose another, or find who has it with `ip neighbour` on the host; a front "
            "that was taken out of the inventory gives it back by `fortyninety reset`",
        )


def _own(around: Surroundings) -> str:
    found = ", ".join(f"{each} ({name})" for name, each in around.own if not each.is_loopback)
    return found[:500] or "it has none"
