"""Say what a plan and its operations need to know of a host."""

from __future__ import annotations

from fortyninety.driver.plan import REPOSITORY_TOOLS
from fortyninety.packages.package import Package
from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.gateway import HAPROXY, gateway_ports
from fortyninety.plan.monitor import ALERTMANAGER, PROMETHEUS
from fortyninety.plan.paths import (
    ALERTMANAGER_SERVICE,
    CELL_FIREWALL_SERVICE,
    EXPORTER_SERVICE,
    FIREWALL_SERVICE,
    FRONT_CERTIFICATE,
    FRONT_IDENTITY,
    FRONT_SERVICE,
    GATEWAY_ACCOUNT,
    GATEWAY_CERTIFICATE,
    GATEWAY_SERVICE,
    HAPROXY_SERVICE,
    KEEPALIVED_SERVICE,
    MONITOR_IDENTITY,
    NOUVEAU_CONFIGURATION,
    NVIDIA_KEYRING,
    PERSISTENCE_SERVICE,
    POWER_SERVICE,
    PROMETHEUS_SERVICE,
    SERVICE,
    SIGNALS_SERVICE,
    SIGNALS_TIMER,
    UNDRAIN_UNITS,
    VIRTUAL_ADDRESS_SERVICE,
    plan_paths,
)
from fortyninety.plan.plan import snapshot_packages
from fortyninety.plan.python import python_packages
from fortyninety.plan.signals import NODE_EXPORTER
from fortyninety.plan.virtual_address import KEEPALIVED
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.request import DRIVER_NAMES, SurveyRequest


def survey_request(settings: Settings, release: Release, place: Place = ALONE) -> SurveyRequest:
    """What the plan and its operations need to know of the host."""
    paths = plan_paths(settings, release)
    named = (
        *REPOSITORY_TOOLS,
        *python_packages(release, "distribution"),
        *snapshot_packages(settings),
        Package("nftables"),
        HAPROXY,
        NODE_EXPORTER,
        KEEPALIVED,
        PROMETHEUS,
        ALERTMANAGER,
    )
    return SurveyRequest(
        files=paths.surveyed,
        # Which names the driver and the toolkit have depends on the host's distribution.
        packages=(*(package.name for package in named), *DRIVER_NAMES, "cuda-toolkit-*"),
        units=(
            *(SERVICE, POWER_SERVICE, PERSISTENCE_SERVICE, CELL_FIREWALL_SERVICE, FIREWALL_SERVICE),
            *(GATEWAY_SERVICE, FRONT_SERVICE, HAPROXY_SERVICE, VIRTUAL_ADDRESS_SERVICE),
            *(PROMETHEUS_SERVICE, ALERTMANAGER_SERVICE),
            *(KEEPALIVED_SERVICE, EXPORTER_SERVICE, SIGNALS_SERVICE, SIGNALS_TIMER, *UNDRAIN_UNITS),
        ),
        port=settings.port,
        service=SERVICE,
        user=settings.service_user,
        snapshot=paths.snapshot,
        models_directory=settings.models_directory,
        install_directory=settings.install_directory,
        tools=paths.tools,
        engine=paths.engine,
        interpreter=paths.managed_interpreter,
        second_copy=paths.second_copy or "",
        keyring=NVIDIA_KEYRING,
        in_initramfs=(NOUVEAU_CONFIGURATION,),
        gateway=GATEWAY_SERVICE,
        gateway_ports=gateway_ports(settings, place),
        gateway_account=GATEWAY_ACCOUNT,
        gateway_certificate=GATEWAY_CERTIFICATE,
        front=FRONT_SERVICE if settings.is_front else "",
        front_ports=(settings.gateway_port,) if settings.is_front else (),
        front_certificate=FRONT_CERTIFICATE,
        front_identity=FRONT_IDENTITY,
        monitor_identity=MONITOR_IDENTITY if settings.is_monitor else "",
    )
