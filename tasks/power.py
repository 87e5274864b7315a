"""The power cap, set now and at every boot."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import files, power, systemd
from fortyninety.plan import PERSISTENCE_SERVICE, POWER_SERVICE, POWER_UNIT, Plan
from fortyninety.templates import render


@deploy("Power")
def cap(plan: Plan) -> None:
    """A unit that sets the cap at boot, run again whenever a card has another one."""
    files.file(
        POWER_UNIT,
        render(
            "fortyninety-power-limit.service.j2",
            power_limit=plan.settings.power_limit,
            persistence_service=PERSISTENCE_SERVICE,
            nvidia_smi="/usr/bin/nvidia-smi",
        ),
        name="Write the unit that caps the cards",
    )
    systemd.unit(PERSISTENCE_SERVICE, name="Keep the driver loaded between uses")
    power.capped(
        POWER_SERVICE,
        plan.settings.power_limit,
        name=f"Cap every card at {plan.settings.power_limit} W",
    )
