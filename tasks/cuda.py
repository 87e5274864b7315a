"""The CUDA toolkit."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import apt
from fortyninety.plan import Plan


@deploy("CUDA")
def install(plan: Plan) -> None:
    """The toolkit of the settings' version, held."""
    apt.packages(
        plan.cuda_packages,
        hold=True,
        lock_timeout=plan.settings.apt_lock_timeout,
        name=f"Install CUDA toolkit {plan.settings.cuda_version}",
    )
