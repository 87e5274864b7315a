"""Write the unit that serves the model, from the plan."""

from __future__ import annotations

import hashlib

from fortyninety.plan.paths import CELL_FIREWALL_SERVICE, POWER_SERVICE, SERVICE
from fortyninety.plan.plan import Plan
from fortyninety.plan.unit_quoting import unit_assignment, unit_command, unit_text
from fortyninety.templates import render


def service_unit(plan: Plan) -> str:
    """The text of vllm.service."""
    return _render(plan, configuration(plan))


def configuration(plan: Plan) -> str:
    """A digest of the whole unit: what the running process must have been started with."""
    return hashlib.sha256(_render(plan, "").encode()).hexdigest()[:16]


def _render(plan: Plan, digest: str) -> str:
    return render(
        "vllm.service.j2",
        service=SERVICE,
        power_service=POWER_SERVICE,
        description=unit_text(f"vLLM serving {plan.settings.model_name}"),
        user=plan.settings.service_user,
        environment=[unit_assignment(name, value) for name, value in plan.environment],
        configuration=digest,
        cell=plan.cell,
        cell_firewall=CELL_FIREWALL_SERVICE,
        engine_failure=plan.paths.engine_failure,
        command=unit_command(plan.command),
    )
