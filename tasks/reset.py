"""Take from a host what a deploy brought, in the opposite order."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import cell, reset
from fortyninety.plan.paths import (
    BROUGHT,
    CELL_FIREWALL_RULES,
    CELL_FIREWALL_SERVICE,
    CELL_FIREWALL_UNIT,
    NOUVEAU_CONFIGURATION,
    POWER_SERVICE,
    POWER_UNIT,
    SERVICE,
    SERVICE_UNIT,
)
from fortyninety.plan.reset import ResetPlan


@deploy("Reset")
def remove(plan: ResetPlan) -> None:
    """The service first, what it was made from then, and last the note of what was brought."""
    reset.no_unit(plan, SERVICE, SERVICE_UNIT, name="Stop the service and remove its unit")
    cell.left(
        CELL_FIREWALL_SERVICE,
        (CELL_FIREWALL_UNIT, CELL_FIREWALL_RULES),
        name="Remove the firewall of a cell",
    )
    reset.no_caps(POWER_UNIT, name="Give the cards their default power limit")
    reset.no_unit(plan, POWER_SERVICE, POWER_UNIT, name="Remove the unit that caps the cards")
    reset.no_folders(plan, name="Remove engines, tools, programs and caches")
    if not plan.keep_model:
        reset.no_models(plan, name="Remove models")
    reset.no_account(plan, name="Remove the service's account")
    reset.no_packages(
        plan, lock_timeout=plan.settings.apt_lock_timeout, name="Remove packages and holds"
    )
    reset.nouveau_free(plan, NOUVEAU_CONFIGURATION, name="Let nouveau have the cards again")
    reset.no_files(plan, name="Remove links and what apt was told")
    reset.no_empty_folders(plan, name="Remove folders that are empty now")
    reset.no_note(plan, BROUGHT, name="Forget what was brought")
