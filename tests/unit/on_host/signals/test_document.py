"""Whether docs/signals.md has the table of metrics as the code has it."""

from __future__ import annotations

from fortyninety.checkout import ROOT
from fortyninety.on_host.signals.metrics import METRICS

CARD = ("card", "uuid")


def table() -> str:
    """The table of the page."""
    rows = ["| metric | labels | what it says |", "|---|---|---|"]
    for each in METRICS:
        labels = each.labels[2:] if each.labels[:2] == CARD else each.labels
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{each.name}` | {shown} | {each.help} |")
    return "\n".join(rows)


def test_the_document_has_every_metric_as_the_code_does() -> None:
    assert table() in (ROOT / "docs" / "signals.md").read_text(), f"it needs:\n{table()}"
