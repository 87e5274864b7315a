"""The engine's Python, what compiles kernels at run time, and what fetches."""

from pyinfra.api.deploy import deploy

from fortyninety.checkout import HOST_TOOLS_LOCK
from fortyninety.operations import directories, environments
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import SEAL_ENVIRONMENT, program
from fortyninety.tasks import programs


@deploy("Python")
def install(plan: Plan) -> None:
    """The interpreter, its headers and a compiler, beside the distribution's own Python; uv.

    And rsync, where hosts hand snapshots on: in the same run of apt, which costs seconds.
    """
    and_rsync = ", and rsync" if plan.snapshot_packages else ""
    apt.packages(
        (*plan.python_packages, *plan.snapshot_packages),
        lock_timeout=plan.settings.apt_lock_timeout,
        name=f"Install Python {plan.release.python} and a compiler{and_rsync}",
    )
    directories.there(plan.paths.directories, name="Make this project's folders")
    programs.put(
        plan.paths.seal_environment, program(SEAL_ENVIRONMENT), "program that marks environments"
    )
    environments.host_tools(
        plan.paths.tools,
        HOST_TOOLS_LOCK,
        plan.paths.tools_lock,
        seal=plan.paths.seal_environment,
        temporary=plan.paths.temporary,
        source=plan.package_source,
        name="Install uv and the hub's client from their lock",
    )
    if plan.python_source == "uv":
        environments.interpreter(
            plan.paths.managed_interpreter,
            directory=plan.paths.pythons,
            tools=plan.paths.tools,
            seal=plan.paths.seal_environment,
            python=plan.release.python,
            mirror=plan.settings.python_mirror,
            name=f"Install uv's build of Python {plan.release.python}",
        )
