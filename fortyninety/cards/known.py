"""Know graphics cards by their names and PCI ids, from the table `cards.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from fortyninety.fit.shape import Card

_TABLE = Path(__file__).with_name("cards.yaml")

_Watts = Annotated[int, Field(ge=1, le=10_000)]


class PowerRange(BaseModel):
    """What the driver lets a card be capped at, and what it has by itself, in W."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    minimum: _Watts
    maximum: _Watts
    default: _Watts


class KnownCard(BaseModel):
    """A row of the table, which says what each value is and where it comes from.

    `refitted` is a board with other memory than its maker gave it: neither its name nor its PCI id
    tell it from the one that it was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    product: str
    pci_devices: list[Annotated[str, Field(pattern="^0x[0-9a-f]{4}$")]]
    memory: Annotated[int, Field(ge=1024, le=1 << 20)]
    bandwidth: Annotated[int, Field(ge=1, le=100_000)]
    power: PowerRange
    peer_to_peer: bool
    nvlink: bool
    capability: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]$")]
    sources: dict[str, str]
    refitted: bool = False
    driver_floor: Annotated[int, Field(ge=0, le=999)] = 0
    open_modules: bool = False

    def card(self, memory: int | None = None) -> Card:
        """The card as the arithmetic takes it, with `memory` MiB where its driver said so."""
        major, _, minor = self.capability.partition(".")
        return Card.of_memory(
            self.memory if memory is None else memory,
            name=self.product,
            capability=(int(major), int(minor)),
            peer_to_peer=self.peer_to_peer,
            bandwidth=self.bandwidth,
        )


@cache
def known_cards() -> tuple[KnownCard, ...]:
    """Every card of the table, in its order."""
    return tuple(KnownCard.model_validate(row) for row in yaml.safe_load(_TABLE.read_text()))


def card_named(product: str) -> KnownCard | None:
    """The card that the driver calls `product`, as its maker made it; None for an unknown one."""
    return next((each for each in _as_made() if each.product == product), None)


def card_at(pci_device: str) -> KnownCard | None:
    """The card with the PCI device id `pci_device`, as sysfs writes it, as its maker made it."""
    return next((each for each in _as_made() if pci_device in each.pci_devices), None)


def cards_by_name() -> dict[str, Card]:
    """The cards by the names that people give them, for a question without a box."""
    return {each.name: each.card() for each in known_cards()}


def card_of(product: str, memory: int) -> Card:
    """A card that its driver calls `product` and says to have `memory` MiB in all."""
    known = card_named(product)
    return Card.of_memory(memory, name=product) if known is None else known.card(memory)


def _as_made() -> list[KnownCard]:
    return [each for each in known_cards() if not each.refitted]
