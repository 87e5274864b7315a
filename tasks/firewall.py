"""The host's firewall."""

from pyinfra.api.deploy import deploy

from fortyninety.firewall.rules import firewall_unit
from fortyninety.operations import firewall, tables
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.paths import FIREWALL_RULES, FIREWALL_SERVICE, FIREWALL_UNIT
from fortyninety.plan.plan import Plan


@deploy("Firewall")
def close(plan: Plan) -> None:
    """Who the settings name gets in and nobody else; without a firewall in them, none of ours."""
    if plan.firewall is None:
        tables.removed(
            tables.OF_THE_HOST,
            FIREWALL_SERVICE,
            (FIREWALL_UNIT, FIREWALL_RULES),
            name="Remove a firewall that the settings do not ask for",
        )
        return
    apt.packages(
        plan.firewall_packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Install what loads the firewall",
    )
    firewall.closed(
        plan.firewall,
        rules_path=FIREWALL_RULES,
        unit_path=FIREWALL_UNIT,
        unit_text=firewall_unit(FIREWALL_RULES),
        name="Let in what the settings name, and keep it if SSH still gets through",
    )
