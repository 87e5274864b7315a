"""The unit that serves the model, from the plan."""

from __future__ import annotations

from fortyninety.plan import POWER_SERVICE, SERVICE, Plan
from fortyninety.templates import render
from fortyninety.units import unit_word


def service_unit(plan: Plan) -> str:
    """The text of vllm.service."""
    return render(
        "vllm.service.j2",
        service=SERVICE,
        power_service=POWER_SERVICE,
        model_name=plan.settings.model_name,
        user=plan.settings.service_user,
        environment=[(name, unit_word(value)) for name, value in plan.environment],
        configuration=plan.configuration,
        command=[unit_word(word) for word in plan.command],
    )
