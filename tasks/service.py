"""The engine as a systemd service under its own account."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import accounts, engine_command_line, files, units
from fortyninety.plan.paths import SERVICE, SERVICE_UNIT
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import CHECK_COMMAND_LINE, ENGINE_FAILURE, archive, program
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
    files.file(SERVICE_UNIT, service_unit(plan), name="Write the unit")
    files.link(plan.paths.current_engine, plan.paths.engine, name="Point to the live engine")
    files.link(plan.paths.current_snapshot, plan.paths.snapshot, name="Point to the live snapshot")
    units.unit(SERVICE, configuration=configuration(plan), name="Run what the unit on disk says")


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
