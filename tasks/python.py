"""The engine's Python, with what Triton and torch compile kernels with at run time."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import apt
from fortyninety.plan import Plan


@deploy("Python")
def install(plan: Plan) -> None:
    """The interpreter, its headers and a compiler, beside the distribution's own Python."""
    apt.packages(plan.python_packages, name=f"Install Python {plan.card.python} and a compiler")
