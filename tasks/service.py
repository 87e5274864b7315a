"""The engine as a systemd service under its own account."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import accounts, files, systemd
from fortyninety.plan import SERVICE, SERVICE_UNIT, Plan
from fortyninety.service_unit import configuration, service_unit


@deploy("Service")
def start(plan: Plan) -> None:
    """The account, the unit, the links that say what is live, and the running process."""
    accounts.service_user(plan.settings.service_user, name="Create the service's account")
    files.file(SERVICE_UNIT, service_unit(plan), name="Write the unit")
    files.link(plan.paths.current_engine, plan.paths.engine, name="Point to the live engine")
    files.link(plan.paths.current_snapshot, plan.paths.snapshot, name="Point to the live snapshot")
    systemd.unit(SERVICE, configuration=configuration(plan), name="Run what the unit on disk says")
