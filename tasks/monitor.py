"""Watch the fleet's boxes and pass on what is wrong: Prometheus and Alertmanager, on loopback."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import files, monitor, own_units
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.monitor import ALERTMANAGER, PROMETHEUS
from fortyninety.plan.paths import ALERTMANAGER_MASK, PROMETHEUS_MASK
from fortyninety.plan.plan import Plan


@deploy("Monitor")
def prepare(plan: Plan) -> None:
    """What watches, not begun yet; or none of it where the host is no monitor."""
    its = plan.monitor
    if its is None:
        monitor.gone(name="Remove a monitor that is not wanted")
        return
    for package, mask in ((PROMETHEUS, PROMETHEUS_MASK), (ALERTMANAGER, ALERTMANAGER_MASK)):
        own_units.masked_before(
            mask, package=package.name, name=f"Keep the own unit of {package.name} from starting"
        )
    apt.packages(
        its.packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Install Prometheus and Alertmanager",
    )
    monitor.identity(its.watch.identity, name="Give it the certificate that boxes know it by")
    monitor.authority(its.watch.authority, name="Tell it the fleet's authority")
    monitor.webhook(its.watch.webhook, name="Tell it where alerts go")
    monitor.configuration(its.files, name="Write targets, rules and configuration")


@deploy("Monitor")
def watch(plan: Plan) -> None:
    """That it watches, once boxes of the run say how they are."""
    its = plan.monitor
    if its is None:
        return
    # Who passes alerts on is there before who finds them.
    for daemon in (its.alertmanager, its.prometheus):
        files.file(daemon.unit, daemon.text, name=f"Write {daemon.service}")
        monitor.running(daemon, name=f"Run {daemon.service} with what is on disk")
