"""Take from a host what a deploy brought, in the opposite order."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import reset, tables
from fortyninety.plan.gateway import HAPROXY
from fortyninety.plan.monitor import ALERTMANAGER, PROMETHEUS
from fortyninety.plan.paths import (
    ALERTMANAGER_MASK,
    ALERTMANAGER_SERVICE,
    ALERTMANAGER_UNIT,
    BROUGHT,
    CELL_FIREWALL_RULES,
    CELL_FIREWALL_SERVICE,
    CELL_FIREWALL_UNIT,
    EXPORTER_MASK,
    EXPORTER_SERVICE,
    EXPORTER_UNIT,
    FIREWALL_RULES,
    FIREWALL_SERVICE,
    FIREWALL_UNIT,
    FRONT_SERVICE,
    FRONT_UNIT,
    GATEWAY_SERVICE,
    GATEWAY_UNIT,
    HAPROXY_MASK,
    NOUVEAU_CONFIGURATION,
    POWER_SERVICE,
    POWER_UNIT,
    PROMETHEUS_MASK,
    PROMETHEUS_SERVICE,
    PROMETHEUS_UNIT,
    SERVICE,
    SERVICE_UNIT,
    SIGNALS_SERVICE,
    SIGNALS_TIMER,
    SIGNALS_TIMER_UNIT,
    SIGNALS_UNIT,
    UNDRAIN_SERVICE,
    UNDRAIN_SERVICE_UNIT,
    UNDRAIN_TIMER,
    UNDRAIN_TIMER_UNIT,
    VIRTUAL_ADDRESS_SERVICE,
    VIRTUAL_ADDRESS_UNIT,
)
from fortyninety.plan.reset import ResetPlan
from fortyninety.plan.signals import NODE_EXPORTER


@deploy("Reset")
def remove(plan: ResetPlan) -> None:
    """The service first, what it was made from then, and last the note of what was brought."""
    reset.no_unit(plan, PROMETHEUS_SERVICE, PROMETHEUS_UNIT, name="Watch no boxes any more")
    reset.no_unit(plan, ALERTMANAGER_SERVICE, ALERTMANAGER_UNIT, name="Pass on no alerts any more")
    reset.no_unit(plan, SIGNALS_TIMER, SIGNALS_TIMER_UNIT, name="Read the box no more")
    reset.no_unit(plan, SIGNALS_SERVICE, SIGNALS_UNIT, name="Remove what reads the box")
    reset.no_unit(plan, EXPORTER_SERVICE, EXPORTER_UNIT, name="Remove the node exporter's unit")
    reset.no_unit(
        plan,
        VIRTUAL_ADDRESS_SERVICE,
        VIRTUAL_ADDRESS_UNIT,
        name="Give up an address that is shared",
    )
    reset.no_unit(plan, FRONT_SERVICE, FRONT_UNIT, name="Let nobody in and remove the front")
    reset.no_unit(plan, UNDRAIN_TIMER, UNDRAIN_TIMER_UNIT, name="Remove the timer of a drain")
    reset.no_unit(plan, UNDRAIN_SERVICE, UNDRAIN_SERVICE_UNIT, name="Remove what it starts")
    reset.no_unit(plan, GATEWAY_SERVICE, GATEWAY_UNIT, name="Let nobody in and remove the gateway")
    reset.no_unit(plan, SERVICE, SERVICE_UNIT, name="Stop the service and remove its unit")
    tables.removed(
        tables.OF_A_CELL,
        CELL_FIREWALL_SERVICE,
        (CELL_FIREWALL_UNIT, CELL_FIREWALL_RULES),
        name="Remove the firewall of a cell",
    )
    tables.removed(
        tables.OF_THE_HOST,
        FIREWALL_SERVICE,
        (FIREWALL_UNIT, FIREWALL_RULES),
        name="Remove the firewall",
    )
    reset.no_caps(POWER_UNIT, name="Give the cards their default power limit")
    reset.no_unit(plan, POWER_SERVICE, POWER_UNIT, name="Remove the unit that caps the cards")
    reset.no_folders(plan, name="Remove engines, tools, programs and caches")
    if not plan.keep_model:
        reset.no_models(plan, name="Remove models")
    reset.no_account(plan, name="Remove the service's account")
    reset.no_packages(
        plan, lock_timeout=plan.settings.apt_lock_timeout, name="Remove packages and holds"
    )
    reset.nouveau_free(plan, NOUVEAU_CONFIGURATION, name="Let nouveau have the cards again")
    reset.no_mask(plan, HAPROXY_MASK, package=HAPROXY.name, name="Forget HAProxy's own unit")
    reset.no_mask(
        plan,
        EXPORTER_MASK,
        package=NODE_EXPORTER.name,
        name="Forget the node exporter's own unit",
    )
    reset.no_mask(
        plan, PROMETHEUS_MASK, package=PROMETHEUS.name, name="Forget Prometheus' own unit"
    )
    reset.no_mask(
        plan, ALERTMANAGER_MASK, package=ALERTMANAGER.name, name="Forget Alertmanager's own unit"
    )
    reset.no_files(plan, name="Remove links and what apt was told")
    reset.no_empty_folders(plan, name="Remove folders that are empty now")
    reset.no_note(plan, BROUGHT, name="Forget what was brought")
