"""The engine's Python, with what Triton and torch compile kernels with at run time."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import apt, environment
from fortyninety.plan import HOST_TOOLS_LOCK, Plan


@deploy("Python")
def install(plan: Plan) -> None:
    """The interpreter, its headers and a compiler, beside the distribution's own Python; uv."""
    apt.packages(
        plan.python_packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name=f"Install Python {plan.card.python} and a compiler",
    )
    environment.host_tools(
        plan.paths.tools,
        HOST_TOOLS_LOCK,
        plan.paths.tools_lock,
        source=plan.package_source,
        name="Install uv and the hub's client from their lock",
    )
    if plan.python_source == "uv":
        environment.interpreter(
            plan.paths.managed_interpreter,
            directory=plan.paths.pythons,
            tools=plan.paths.tools,
            python=plan.card.python,
            mirror=plan.settings.python_mirror,
            name=f"Install uv's build of Python {plan.card.python}",
        )
