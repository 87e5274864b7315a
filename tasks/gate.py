"""Not done until a real completion came back."""

from pyinfra.api.deploy import deploy

from fortyninety.host_programs import COMPLETE, program
from fortyninety.operations import files, serving
from fortyninety.plan import SERVICE, Plan


@deploy("Gate")
def wait(plan: Plan) -> None:
    """Wait until the engine on the host answers."""
    files.file(
        plan.paths.complete,
        program(COMPLETE),
        mode="755",
        name="Put the asking program in place",
    )
    serving.answers(
        program=plan.paths.complete,
        port=plan.settings.port,
        model=plan.settings.model_name,
        service=SERVICE,
        timeout=plan.settings.ready_timeout,
        name="Wait for a completion",
    )
