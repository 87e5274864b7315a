"""Name NVIDIA cards by their PCI device id, before a driver can be asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """A card's product name as nvidia-smi prints it, its memory in MiB, its power limits in W.

    The limits differ between board makers; these are the widest seen, and a card that has a driver
    is asked itself. `peer_to_peer` is whether the driver lets two of them read each other's memory.
    """

    name: str
    power_limit_minimum: int
    power_limit_maximum: int
    memory: int
    peer_to_peer: bool


# Device ids from the PCI ID Repository (pci.ids, vendor 10de). Power limits: 150 W is the floor of
# NVIDIA's reference board and 600 W the ceiling of the boards with the largest; claimed by owners
# in public `nvidia-smi -q` listings, not measured here. So are the 24564 MiB. NVIDIA's driver has
# no peer-to-peer access between GeForce cards of this generation (claimed by NVIDIA's staff and by
# owners; not tried here).
CARDS_BY_PCI_DEVICE = {
    "0x2684": Card("NVIDIA GeForce RTX 4090", 150, 600, 24564, False),
    "0x2685": Card("NVIDIA GeForce RTX 4090 D", 150, 600, 24564, False),
}


def card_named(name: str) -> Card | None:
    """The card with the product name `name`, if it is a known one."""
    return next((card for card in CARDS_BY_PCI_DEVICE.values() if card.name == name), None)
