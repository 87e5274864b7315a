"""The engine's environment, beside the live one, in a folder named by its lock."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import environment
from fortyninety.plan import HOST_TOOLS_LOCK, Plan


@deploy("Engine")
def install(plan: Plan) -> None:
    """uv and the hub's client, then vLLM exactly as its lock says."""
    environment.host_tools(
        plan.paths.tools,
        HOST_TOOLS_LOCK,
        plan.paths.tools_lock,
        name="Install uv and the hub's client from their lock",
    )
    environment.engine(
        plan.paths.engine,
        plan.card.lock_path,
        plan.paths.engine_lock,
        tools=plan.paths.tools,
        python=plan.card.python,
        distribution=plan.card.distribution,
        version=plan.card.version,
        name=f"Install vLLM {plan.card.release} from its lock",
    )
