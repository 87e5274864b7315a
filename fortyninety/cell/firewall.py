"""The firewall between a cell's ports and everybody who is not a member, from the plan."""

from __future__ import annotations

import hashlib

from fortyninety.cell.membership import Membership
from fortyninety.plan.plan import CELL_FIREWALL_RULES, SERVICE, Plan
from fortyninety.templates import render


def rules(plan: Plan, cell: Membership) -> str:
    """The rules, as nft loads them."""
    return _render(plan, cell, rules_digest(plan, cell))


def rules_digest(plan: Plan, cell: Membership) -> str:
    """What the table in the kernel says it was made from."""
    return hashlib.sha256(_render(plan, cell, "").encode()).hexdigest()[:16]


def firewall_unit(cell: Membership) -> str:
    """The text of the unit that loads them at boot."""
    return render(
        "fortyninety-cell-firewall.service.j2",
        cell=cell,
        service=SERVICE,
        rules=CELL_FIREWALL_RULES,
    )


def _render(plan: Plan, cell: Membership, digest: str) -> str:
    return render(
        "fortyninety-cell.nft.j2",
        cell=cell,
        user=plan.settings.service_user,
        api_port=plan.settings.port,
        digest=digest,
    )
