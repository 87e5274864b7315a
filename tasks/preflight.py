"""Refuse before the first change, with every reason at once."""

from fortyninety.fleet.run import current_plan
from fortyninety.plan.plan import Plan


def plan_or_refuse() -> Plan:
    """The plan of this host, or pyinfra's exit with every problem of every host of the run."""
    return current_plan()
