"""Set up what a member of a cell needs around its engine."""

from pyinfra.api.deploy import deploy

from fortyninety.cell.firewall import firewall_unit, rules, rules_digest
from fortyninety.operations import cell, files, tables
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.paths import (
    CELL_FIREWALL_RULES,
    CELL_FIREWALL_SERVICE,
    CELL_FIREWALL_UNIT,
    SERVICE,
)
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import CELL_MEMBER, COMPLETE, program
from fortyninety.tasks import programs


@deploy("Cell")
def join(plan: Plan) -> None:
    """The cell's ports for its members alone, and the program that runs the engine with theirs."""
    if plan.cell is None:
        return
    user, api_port = plan.settings.service_user, plan.settings.port
    apt.packages(
        plan.cell_packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Install what loads the firewall",
    )
    files.file(
        CELL_FIREWALL_RULES,
        rules(plan.cell, user=user, api_port=api_port),
        name="Write the rules of the cell's ports",
    )
    files.file(
        CELL_FIREWALL_UNIT,
        firewall_unit(plan.cell, service=SERVICE, rules=CELL_FIREWALL_RULES),
        name="Write the unit that loads them at boot",
    )
    cell.firewalled(
        CELL_FIREWALL_SERVICE,
        digest=rules_digest(plan.cell, user=user, api_port=api_port),
        name="Keep the cell's ports to its members",
    )
    programs.put(
        plan.paths.cell_member, program(CELL_MEMBER), "program that holds the cell together"
    )
    programs.put(plan.paths.complete, program(COMPLETE), "program that asks the head")


@deploy("Cell")
def leave(plan: Plan) -> None:
    """Nothing of a cell that the host is no longer in, once its engine serves without."""
    if plan.cell is not None:
        return
    tables.removed(
        tables.OF_A_CELL,
        CELL_FIREWALL_SERVICE,
        (CELL_FIREWALL_UNIT, CELL_FIREWALL_RULES),
        name="Remove what a cell left",
    )
