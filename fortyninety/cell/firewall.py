"""Close a cell's ports to everybody who is not a member."""

from __future__ import annotations

import hashlib

from fortyninety.cell.membership import Membership
from fortyninety.templates import render


def rules(cell: Membership, *, user: str, api_port: int) -> str:
    """The rules, as nft loads them; `user` runs the engine, which answers on `api_port`."""
    return _render(cell, user, api_port, rules_digest(cell, user=user, api_port=api_port))


def rules_digest(cell: Membership, *, user: str, api_port: int) -> str:
    """What the table in the kernel says it was made from."""
    return hashlib.sha256(_render(cell, user, api_port, "").encode()).hexdigest()[:16]


def firewall_unit(cell: Membership, *, service: str, rules: str) -> str:
    """The text of the unit that loads them at boot from `rules`, before the `service` starts."""
    return render(
        "fortyninety-cell-firewall.service.j2",
        cell=cell,
        service=service,
        rules=rules,
    )


def _render(cell: Membership, user: str, api_port: int, digest: str) -> str:
    return render(
        "fortyninety-cell.nft.j2",
        cell=cell,
        user=user,
        api_port=api_port,
        digest=digest,
    )
