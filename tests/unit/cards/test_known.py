"""The table of cards: what it must hold for each, and that nothing else knows a card by name."""

from __future__ import annotations

import pytest

from fortyninety.cards import known
from fortyninety.cards.known import (
    KnownCard,
    card_at,
    card_named,
    card_of,
    cards_by_name,
    known_cards,
)
from fortyninety.checkout import ROOT
from fortyninety.fit.shape import parse_cards

EVERY = pytest.mark.parametrize("card", known_cards(), ids=lambda card: card.name)


@EVERY
def test_a_card_is_found_by_its_driver_by_its_bus_and_by_people(card: KnownCard) -> None:
    by_driver = card_named(card.product)
    assert by_driver is not None
    assert by_driver.product == card.product
    assert all(card_at(device) is by_driver for device in card.pci_devices)
    (box,) = parse_cards(f"2x{card.name}", cards_by_name())
    assert box.cards == (card.card(),) * 2


@EVERY
def test_every_figure_of_a_card_says_where_it_comes_from(card: KnownCard) -> None:
    figures = {"memory", "bandwidth", "power"}
    if card.peer_to_peer:
        figures.add("peer_to_peer")
    if card.driver_floor:
        figures.add("driver_floor")
    assert figures <= set(card.sources)
    assert all(card.sources.values())


@EVERY
def test_the_limits_of_a_card_are_in_order(card: KnownCard) -> None:
    assert card.power.minimum < card.power.default <= card.power.maximum


def test_two_cards_share_a_name_or_an_id_only_where_one_was_refitted() -> None:
    made = [card for card in known_cards() if not card.refitted]
    products = [card.product for card in made]
    devices = [device for card in made for device in card.pci_devices]
    assert len(set(products)) == len(products)
    assert len(set(devices)) == len(devices)


def test_a_driver_says_how_much_memory_a_refitted_card_has() -> None:
    card = card_of("NVIDIA GeForce RTX 4090", 49140)
    assert card == cards_by_name()["4090 48GB"]
    assert card.usable > cards_by_name()["4090"].usable


def test_a_refitted_card_is_never_what_a_name_means(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = tuple(reversed(known_cards()))
    monkeypatch.setattr(known, "known_cards", lambda: backwards)
    for found in (card_named("NVIDIA GeForce RTX 4090"), card_at("0x2684")):
        assert found is not None
        assert found.memory == 24564


def test_nothing_is_assumed_of_a_card_that_is_not_in_the_table() -> None:
    card = card_of("NVIDIA GeForce RTX 2080 Ti", 11264)
    assert (card.capability, card.peer_to_peer) == (None, None)
    assert card_named("NVIDIA GeForce RTX 2080 Ti") is None
    assert card_at("0x1e07") is None


def test_code_knows_no_card_of_the_table_by_its_id() -> None:
    devices = {device for card in known_cards() for device in card.pci_devices}
    knowing = [
        path.name
        for path in (ROOT / "fortyninety").rglob("*.py")
        if any(device in path.read_text() for device in devices)
    ]
    assert knowing == []
