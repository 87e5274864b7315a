"""End a deploy only after a real completion."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import environments, gate
from fortyninety.plan.paths import SERVICE, SERVICE_UNIT
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import COMPLETE, program
from fortyninety.plan.unit import configuration
from fortyninety.tasks import programs, service


@deploy("Gate")
def wait(plan: Plan) -> None:
    """Wait until the engine on the host answers; what answered is what a rollback goes back to."""
    programs.put(plan.paths.complete, program(COMPLETE), "asking program")
    gate.answers(
        program=plan.paths.complete,
        port=plan.settings.port,
        model=plan.settings.model_name,
        service=SERVICE,
        headless=plan.headless,
        restarts=plan.restarts,
        timeout=plan.settings.ready_timeout,
        log_lines=plan.release.log_lines,
        predicted_kv_tokens=plan.kv_tokens,
        max_model_len=plan.settings.max_model_len,
        configuration=configuration(plan),
        restoring=service.restoring(plan),
        name="Wait for a completion",
    )
    gate.remembered(
        SERVICE_UNIT,
        directory=plan.paths.served,
        configuration=configuration(plan),
        name="Remember what served, for a rollback",
    )
    environments.altered_removed(plan.paths.served, name="Remove kept units that somebody altered")
    environments.pruned(
        plan.paths.engine,
        kept=plan.settings.engines_kept,
        name="Remove environments that are neither live nor kept",
    )
