"""The engine's environment, beside the live one, in a folder named by its lock."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import environments, files
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import BUILD_ENVIRONMENT, TRY_ENGINE, program


@deploy("Engine")
def install(plan: Plan) -> None:
    """vLLM exactly as its lock says, tried before anything can become live of it."""
    files.file(
        plan.paths.build_environment,
        program(BUILD_ENVIRONMENT),
        mode="755",
        name="Put the building program in place",
    )
    files.file(
        plan.paths.try_engine,
        program(TRY_ENGINE),
        mode="755",
        name="Put the trying program in place",
    )
    environments.engine(
        plan.paths.engine,
        plan.paths.engine_lock,
        plan.card,
        program=plan.paths.build_environment,
        seal=plan.paths.seal_environment,
        temporary=plan.paths.temporary,
        trial=plan.paths.try_engine,
        uv=f"{plan.paths.tools}/bin/uv",
        interpreter=plan.interpreter,
        source=plan.package_source,
        name=f"Install vLLM {plan.card.release} from its lock",
    )
