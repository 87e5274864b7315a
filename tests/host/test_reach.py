"""Whether a host can be looked at, before anything is said of it."""

from __future__ import annotations

from tests.host.inventory_bridge import Box


def test_the_host_can_be_looked_at(box: Box, why_not: str | None) -> None:
    """A host that nobody can look at may be serving nonsense, or nothing at all."""
    assert why_not is None, f"{why_not}"
