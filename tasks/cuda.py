"""The CUDA toolkit."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import cuda, files
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.paths import NVCC, TOOLKIT_ARCHIVES
from fortyninety.plan.plan import Plan
from fortyninety.templates import render


@deploy("Ahead")
def begin(plan: Plan) -> None:
    """The packages that `install` would fetch, on their way while the driver is built."""
    cuda.begun(
        plan.driver.cuda_packages,
        TOOLKIT_ARCHIVES,
        driver=(*plan.driver.headers, *plan.driver.packages),
        without=plan.driver.obsolete,
        name=f"Begin to download CUDA toolkit {plan.settings.cuda_version}",
    )


@deploy("CUDA")
def install(plan: Plan) -> None:
    """The toolkit of the settings' version, held, beside others, and its compiler on the path."""
    cuda.without_driver(
        plan.driver.cuda_packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="See that the toolkit brings no driver along",
    )
    cuda.arrived(
        plan.driver.cuda_packages, TOOLKIT_ARCHIVES, name="Wait for its packages under way"
    )
    apt.packages(
        plan.driver.cuda_packages,
        hold=True,
        # apt was asked just now, with fresh lists.
        fetch_lists=False,
        archives=TOOLKIT_ARCHIVES,
        lock_timeout=plan.settings.apt_lock_timeout,
        name=f"Install CUDA toolkit {plan.settings.cuda_version}",
    )
    cuda.archives_gone(TOOLKIT_ARCHIVES, name="Remove what is left of its packages")
    if plan.driver.nvcc is None:
        files.no_link(NVCC, plan.paths.nvcc, name="Leave the path to the distribution's compiler")
        return
    files.file(
        plan.paths.nvcc,
        render("nvcc.j2", nvcc=plan.driver.nvcc),
        mode="755",
        name="Say which toolkit's compiler is the host's",
    )
    files.link(NVCC, plan.paths.nvcc, name="Put that compiler on everybody's path")
