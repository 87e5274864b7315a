"""Refuse before the first change, with every reason at once."""

from fortyninety.plan.plan import Plan
from fortyninety.run import current_plan


def plan_or_refuse() -> Plan:
    """The plan of this host, or pyinfra's exit with every problem of every host of the run."""
    return current_plan()
