"""The engine's environment, beside the live one, in a folder named by its lock."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import environments
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import BUILD_ENVIRONMENT, TRY_ENGINE, program
from fortyninety.tasks import programs


@deploy("Ahead")
def begin(plan: Plan) -> None:
    """What `install` would make, begun while other stages are at work."""
    environments.engine_begun(
        _build(plan),
        programs={
            plan.paths.build_environment: program(BUILD_ENVIRONMENT),
            plan.paths.try_engine: program(TRY_ENGINE),
        },
        name=f"Begin to build vLLM {plan.release.release}",
    )


@deploy("Engine")
def install(plan: Plan) -> None:
    """vLLM exactly as its lock says, tried before anything can become live of it."""
    programs.put(plan.paths.build_environment, program(BUILD_ENVIRONMENT), "building program")
    programs.put(plan.paths.try_engine, program(TRY_ENGINE), "trying program")
    environments.engine(_build(plan), name=f"Install vLLM {plan.release.release} from its lock")


def _build(plan: Plan) -> environments.EngineBuild:
    return environments.EngineBuild(
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
    )
