"""The power cap, set now and at every boot."""

from pyinfra.api.deploy import deploy

from fortyninety.cards.power import cap_arguments, caps_in_words
from fortyninety.operations import files, power, units
from fortyninety.plan.paths import PERSISTENCE_SERVICE, POWER_SERVICE, POWER_UNIT
from fortyninety.plan.plan import Plan
from fortyninety.templates import render


@deploy("Power")
def cap(plan: Plan) -> None:
    """A unit that sets the caps at boot, run again whenever a card has another one."""
    limit = plan.settings.power_limit
    files.file(
        POWER_UNIT,
        render(
            "fortyninety-power-limit.service.j2",
            caps=caps_in_words(limit),
            cap_arguments=cap_arguments(limit),
            persistence_service=PERSISTENCE_SERVICE,
            nvidia_smi="/usr/bin/nvidia-smi",
            nvidia_modprobe="/usr/bin/nvidia-modprobe",
        ),
        name="Write the unit that caps the cards",
    )
    units.unit(PERSISTENCE_SERVICE, name="Keep the driver loaded between uses")
    power.capped(
        POWER_SERVICE,
        plan.settings,
        persistence_service=PERSISTENCE_SERVICE,
        name=f"Cap {caps_in_words(limit)}",
    )
