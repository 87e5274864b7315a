"""Let people in who have a key, over TLS: HAProxy before the host's engine, or before boxes."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import directories, draining, files, gateway, own_units
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.gateway import HAPROXY, GatewayPlan, how_drained
from fortyninety.plan.instance import FRONT, GATEWAY
from fortyninety.plan.paths import HAPROXY_MASK
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import GATEWAY_CONTROL, program
from fortyninety.tasks import programs


@deploy("Gateway")
def close(plan: Plan) -> None:
    """No gateway and no front where there is to be none, before anything else is started."""
    if plan.gateway is None:
        gateway.closed(GATEWAY, name="Remove a gateway that is not wanted")
    if plan.front is None:
        gateway.closed(FRONT, name="Remove a front that is not wanted")


@deploy("Gateway")
def open_to_keys(plan: Plan) -> None:
    """The gateway's files, and the process that has them in force, once the engine answers."""
    if plan.gateway is None:
        return
    prepare(plan, plan.gateway)
    serve(plan, plan.gateway)
    if (its := how_drained(plan.gateway)) is not None:
        draining.serving_again(its, name="Have the box take requests again")


@deploy("Front")
def open_front(plan: Plan) -> None:
    """The same of a front, once the boxes of the run are behind theirs."""
    if plan.front is None:
        return
    if not plan.has_engine:
        directories.there(plan.paths.directories, name="Make this project's folders")
    prepare(plan, plan.front)
    serve(plan, plan.front)


def prepare(plan: Plan, its: GatewayPlan) -> None:
    """What each of a host's needs, and both have in common."""
    gateway.account(name="Create the gateway's account")
    own_units.masked_before(
        HAPROXY_MASK, package=HAPROXY.name, name="Keep HAProxy's own unit from starting"
    )
    apt.packages(
        its.packages,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Install HAProxy",
    )
    programs.put(plan.paths.gateway_control, program(GATEWAY_CONTROL), "program that gives it keys")


def serve(plan: Plan, its: GatewayPlan) -> None:
    """Its own files, and that it runs with them."""
    instance, secrets, control = its.instance, its.secrets, plan.paths.gateway_control
    gateway.certificate(instance, secrets.certificate, name="Give it a certificate")
    if secrets.identity is not None:
        gateway.identity(
            instance, secrets.identity, name="Give it the certificate that boxes know it by"
        )
    gateway.authority(instance, secrets.authority, name="Tell it the fleet's authority")
    gateway.keys(instance, secrets.key_map, control=control, name="Give it the keys")
    gateway.configuration(instance, its.configuration, name="Write its configuration")
    files.file(instance.unit, its.unit, name="Write its unit")
    gateway.running(instance, digest=its.digest, name="Run what is on disk")
