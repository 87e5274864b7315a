"""The engine as a systemd service under its own account."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import accounts, draining, engine_command_line, files, secrets, units
from fortyninety.operations.restoring import Restoring
from fortyninety.plan.gateway import how_drained
from fortyninety.plan.paths import FAILED_GATE, SERVICE, SERVICE_UNIT, TENANT_SECRET
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import (
    CHECK_COMMAND_LINE,
    DRAIN,
    ENGINE_FAILURE,
    RESTORE,
    TENANTS,
    archive,
    importable,
    program,
)
from fortyninety.plan.unit import configuration, service_unit
from fortyninety.tasks import programs


@deploy("Service")
def account(plan: Plan) -> None:
    """The account that the engine runs under."""
    accounts.service_user(plan.settings.service_user, name="Create the service's account")


@deploy("Service")
def start(plan: Plan) -> None:
    """The unit, the links that say what is live, and the running process."""
    check(plan)
    # Before the unit that runs it as it starts and as it ends.
    programs.put(
        plan.paths.engine_failure,
        archive(ENGINE_FAILURE),
        "program that finds the cause of a failure",
    )
    if plan.restores:
        programs.put(
            plan.paths.restore, archive(RESTORE), "program that puts back what served before"
        )
    if plan.tenants_apart:
        keep_apart(plan)
    files.file(SERVICE_UNIT, service_unit(plan), name="Write the unit")
    files.link(plan.paths.current_engine, plan.paths.engine, name="Point to the live engine")
    files.link(plan.paths.current_snapshot, plan.paths.snapshot, name="Point to the live snapshot")
    if (its := how_drained(plan.gateway)) is not None:
        programs.put(plan.paths.drain, archive(DRAIN), "draining program")
        draining.before_restart(
            SERVICE,
            its,
            configuration=configuration(plan),
            name="Have it end what is under way, where it restarts",
        )
    units.unit(
        SERVICE,
        configuration=configuration(plan),
        restoring=restoring(plan),
        name="Run what the unit on disk says",
    )


def restoring(plan: Plan) -> Restoring | None:
    """How what served before is put back where the new engine fails; None where it is not."""
    if not plan.restores:
        return None
    its = how_drained(plan.gateway)
    return Restoring(
        program=plan.paths.restore,
        install_directory=plan.paths.root,
        unit=SERVICE_UNIT,
        port=plan.settings.port,
        wait=plan.settings.ready_timeout,
        note=FAILED_GATE,
        then=None if its is None else its.after_a_restart(),
    )


def keep_apart(plan: Plan) -> None:
    """What the engine needs to keep its tenants apart, before the unit that names it."""
    files.file(
        plan.paths.tenants, importable(TENANTS), name="Put what keeps tenants apart in place"
    )
    secrets.made_once(TENANT_SECRET, name="Make the secret of the tenants' salts")


def check(plan: Plan) -> None:
    """The engine's own parser takes the command line, before a unit with it is written."""
    programs.put(plan.paths.check_command_line, program(CHECK_COMMAND_LINE), "checking program")
    engine_command_line.accepted(
        SERVICE_UNIT,
        service_unit(plan),
        program=plan.paths.check_command_line,
        directory=plan.paths.engine,
        temporary=plan.paths.temporary,
        release=plan.release,
        arguments=plan.arguments,
        environment=plan.environment,
        name="Have the engine read its command line",
    )
