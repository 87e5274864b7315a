"""Plan what has a front share its address with others: keepalived's configuration and its unit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fortyninety.gateway.shared_address import Place
from fortyninety.packages.package import Package
from fortyninety.plan.paths import (
    FRONT_SERVICE,
    VIRTUAL_ADDRESS_CONFIGURATION,
    VIRTUAL_ADDRESS_LOADED,
    VIRTUAL_ADDRESS_RUN,
    VIRTUAL_ADDRESS_SERVICE,
    VIRTUAL_ADDRESS_STARTED,
    Paths,
)
from fortyninety.settings.model import Settings
from fortyninety.templates import render

KEEPALIVED = Package("keepalived")
# Who owns nothing, for a script that asks a port.
SCRIPT_USER, SCRIPT_GROUP = "nobody", "nogroup"


@dataclass(frozen=True)
class Shared:
    """The place of a front, and the interface on which it has the address."""

    place: Place
    interface: str


@dataclass(frozen=True)
class VirtualAddressPlan:
    """What shares the address of `place`. `digest` is of the unit, which the running one noted."""

    place: Place
    configuration: str
    unit: str
    digest: str

    @property
    def packages(self) -> tuple[Package, ...]:
        """What it is made of."""
        return (KEEPALIVED,)


def plan_virtual_address(settings: Settings, paths: Paths, shared: Shared) -> VirtualAddressPlan:
    """How a front shares its address."""
    digest = hashlib.sha256(_unit(shared, "").encode()).hexdigest()[:16]
    return VirtualAddressPlan(
        place=shared.place,
        configuration=render(
            "keepalived.conf.j2",
            place=shared.place,
            interface=shared.interface,
            ready=paths.front_ready,
            status_port=settings.front_status_port,
            script_user=SCRIPT_USER,
            script_group=SCRIPT_GROUP,
        ),
        unit=_unit(shared, digest),
        digest=digest,
    )


def _unit(shared: Shared, digest: str) -> str:
    return render(
        "fortyninety-virtual-address.service.j2",
        service=VIRTUAL_ADDRESS_SERVICE,
        gateway=FRONT_SERVICE,
        configuration=VIRTUAL_ADDRESS_CONFIGURATION,
        folder=VIRTUAL_ADDRESS_RUN,
        started=VIRTUAL_ADDRESS_STARTED,
        loaded=VIRTUAL_ADDRESS_LOADED,
        place=shared.place,
        interface=shared.interface,
        script_user=SCRIPT_USER,
        digest=digest,
    )
