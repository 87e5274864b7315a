"""Share an address with the other fronts, by keepalived."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import files, virtual_address
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.paths import VIRTUAL_ADDRESS_UNIT
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import FRONT_READY, program
from fortyninety.tasks import programs


@deploy("Virtual address")
def give_up(plan: Plan) -> None:
    """No shared address where the settings have none, before the front may go."""
    if plan.virtual_address is None:
        virtual_address.given_up(name="Give up an address that is not wanted")


@deploy("Virtual address")
def share(plan: Plan) -> None:
    """The address here or on another front, once this one can answer at it."""
    if plan.virtual_address is None:
        return
    apt.packages(
        plan.virtual_address.packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Install keepalived",
    )
    programs.put(plan.paths.front_ready, program(FRONT_READY), "script that looks at the front")
    virtual_address.configuration(
        plan.virtual_address.configuration, name="Write keepalived's configuration"
    )
    files.file(VIRTUAL_ADDRESS_UNIT, plan.virtual_address.unit, name="Write its unit")
    virtual_address.running(
        digest=plan.virtual_address.digest,
        configuration=plan.virtual_address.configuration,
        name="Share the address",
    )
