"""Write the unit that serves the model, from the plan."""

from __future__ import annotations

import hashlib

from fortyninety.engine.command_line import LOOPBACK_ADDRESS
from fortyninety.plan.gateway import HOLD_SECONDS
from fortyninety.plan.instance import FRONT, GATEWAY
from fortyninety.plan.paths import CELL_FIREWALL_SERVICE, POWER_SERVICE, SERVICE
from fortyninety.plan.plan import Plan
from fortyninety.plan.tenants import tenant_credential
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
        credential=tenant_credential() if plan.tenants_apart else None,
        cell=plan.cell,
        cell_firewall=CELL_FIREWALL_SERVICE,
        engine_failure=plan.paths.engine_failure,
        reached_by=_reached_by(plan),
        command=unit_command(plan.command),
        gateway_control=None if plan.gateway is None else plan.paths.gateway_control,
        gateway_services=[GATEWAY.service, *([] if plan.front is None else [FRONT.service])],
        control_socket=GATEWAY.control_socket,
        hold_seconds=HOLD_SECONDS,
        engine_address=f"{LOOPBACK_ADDRESS} {plan.settings.port}",
    )


def _reached_by(plan: Plan) -> tuple[str, ...]:
    """Whom the engine's processes exchange packets with; empty where that is everybody."""
    if plan.settings.listen_address != LOOPBACK_ADDRESS:
        return ()
    return ("localhost", *(plan.cell.addresses if plan.cell else ()))
