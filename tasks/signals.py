"""Have a box say how it is to a monitor, on loopback."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import files, own_units, signals
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.paths import (
    EXPORTER_MASK,
    EXPORTER_UNIT,
    SIGNALS_FRONT_IDENTITY,
    SIGNALS_KNOWN,
    SIGNALS_MONITOR,
    SIGNALS_TIMER_UNIT,
    SIGNALS_UNIT,
)
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import SIGNALS, archive
from fortyninety.plan.signals import NODE_EXPORTER
from fortyninety.tasks import programs


@deploy("Signals")
def say(plan: Plan) -> None:
    """The reading and the exporter, or neither where the settings have none."""
    if plan.signals is None:
        signals.silent(name="Remove signals that are not wanted")
        return
    own_units.masked_before(
        EXPORTER_MASK, package=NODE_EXPORTER.name, name="Keep the exporter's own unit from starting"
    )
    apt.packages(
        plan.signals.packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Install the node exporter",
    )
    programs.put(plan.paths.signals, archive(SIGNALS), "program that reads the box")
    signals.authority(plan.signals.authority, name="Tell it the fleet's authority")
    signals.front_identity(
        shown=SIGNALS_FRONT_IDENTITY in plan.signals.shown, name="Show it a front's certificate"
    )
    signals.monitor_identity(
        shown=SIGNALS_MONITOR in plan.signals.shown, name="Show it a monitor's certificate"
    )
    files.file(SIGNALS_KNOWN, plan.signals.known, name="Write what it cannot know by itself")
    signals.running(
        {
            SIGNALS_UNIT: plan.signals.service,
            SIGNALS_TIMER_UNIT: plan.signals.timer,
            EXPORTER_UNIT: plan.signals.exporter,
        },
        name="Have the box say how it is",
    )
