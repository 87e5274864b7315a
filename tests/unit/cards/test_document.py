"""Whether docs/cards.md has the table of cards as the code has it."""

from __future__ import annotations

from fortyninety.cards.known import known_cards
from fortyninety.checkout import ROOT


def test_the_document_has_every_card_as_the_table_does() -> None:
    rows = [
        f"| {card.name} | {card.product} | {card.memory} | {card.bandwidth} | "
        f"{card.power.minimum} to {card.power.maximum} | {card.power.default} | "
        f"{'yes' if card.peer_to_peer else 'by NVLink' if card.nvlink else 'no'} | "
        f"{card.capability} |"
        for card in known_cards()
    ]
    table = "\n".join(rows)
    assert table in (ROOT / "docs" / "cards.md").read_text(), f"docs/cards.md needs:\n{table}"
