"""The engine's environment, beside the live one, in a folder named by its lock."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import environments
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import BUILD_ENVIRONMENT, TRY_ENGINE, program
from fortyninety.tasks import programs


@deploy("Engine")
def install(plan: Plan) -> None:
    """vLLM exactly as its lock says, tried before anything can become live of it."""
    programs.put(plan.paths.build_environment, program(BUILD_ENVIRONMENT), "building program")
    programs.put(plan.paths.try_engine, program(TRY_ENGINE), "trying program")
    environments.engine(
        plan.paths.engine,
        plan.paths.engine_lock,
        plan.release,
        program=plan.paths.build_environment,
        seal=plan.paths.seal_environment,
        temporary=plan.paths.temporary,
        trial=plan.paths.try_engine,
        uv=f"{plan.paths.tools}/bin/uv",
        interpreter=plan.interpreter,
        source=plan.package_source,
        name=f"Install vLLM {plan.release.release} from its lock",
    )
