"""Plan a host's gateway and its front: configurations, units, and where secrets come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from fortyninety.engine.command_line import LOOPBACK_ADDRESS
from fortyninety.gateway.authority import MONITOR
from fortyninety.gateway.certificates import AuthoritySource, CertificateSource
from fortyninety.gateway.configuration import Fronts, Gateway, Monitor, haproxy_configuration
from fortyninety.gateway.front_configuration import Front, front_configuration
from fortyninety.gateway.policy import Policy
from fortyninety.packages.package import Package
from fortyninety.plan.draining import Draining, plan_draining
from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.instance import FRONT, GATEWAY, Instance
from fortyninety.plan.paths import FRONT_IDENTITY, GATEWAY_ACCOUNT, GATEWAY_DRAINED, Paths
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading
from fortyninety.templates import render

HAPROXY = Package("haproxy")
# How long requests have to end in before an engine, or the gateway before it, is told to end: half
# of what its unit's stop has.
HOLD_SECONDS = 30
# Of what the gateway reads and nobody else.
GATEWAY_FILE_MODE = "640"
# HAProxy asks for two for each of its `maxconn`, which is three times that of clients.
FILES_FOR_A_CONNECTION = 6
OTHER_FILES = 1_000


@dataclass(frozen=True)
class Secrets:
    """Where the controller has what a gateway or a front is given: none of it is part of a plan.

    `key_map` reads the keys again each time, so that none comes back that was revoked meanwhile; it
    is None where nobody asks by a key. `authority` is whom others are believed by, and `identity`
    what boxes know a front by.
    """

    certificate: CertificateSource
    key_map: Callable[[], str] | None
    authority: AuthoritySource | None = None
    identity: CertificateSource | None = None


@dataclass(frozen=True)
class GatewayPlan:
    """The gateway of a host, or its front. `digest` is of its unit, which the running one was
    started by."""

    instance: Instance
    configuration: str
    unit: str
    digest: str
    secrets: Secrets
    # How the box is drained, of which a front has none.
    draining: Draining | None = None

    @property
    def packages(self) -> tuple[Package, ...]:
        """What it is made of."""
        return (HAPROXY,)


def how_drained(gateway: GatewayPlan | None) -> Draining | None:
    """How a box with this gateway is drained; None where nobody is let in."""
    return None if gateway is None else gateway.draining


def asks_by_key(settings: Settings) -> bool:
    """Whether a box lets people in by itself: one that is a front does so as that."""
    return settings.has_engine and settings.gateway and not settings.is_front


def gateway_ports(settings: Settings, place: Place) -> tuple[int, ...]:
    """The ports that the gateway of a box has."""
    return (
        *((settings.gateway_port,) if asks_by_key(settings) else ()),
        *((settings.gateway_fronts_port,) if place.fronted is not None else ()),
    )


def plan_gateway(
    settings: Settings,
    release: Release,
    paths: Paths,
    reading: HostReading,
    secrets: Secrets,
    *,
    place: Place = ALONE,
) -> GatewayPlan:
    """The gateway of a host whose engine answers."""
    text = haproxy_configuration(_gateway(settings, release, reading, place))
    description = "Let people with keys in to the model, by HAProxy"
    if not asks_by_key(settings):
        description = "Let the fleet's fronts in to the model, by HAProxy"
    unit = partial(
        _unit, GATEWAY, settings, paths, description, port=gateway_ports(settings, place)[0]
    )
    draining = plan_draining(settings, paths, reading.gateway.drained)
    return replace(_planned(GATEWAY, text, unit, secrets), draining=draining)


def plan_front(
    settings: Settings,
    paths: Paths,
    reading: HostReading,
    secrets: Secrets,
    place: Place,
    *,
    shows: bool,
) -> GatewayPlan:
    """The front of a host that lets people in to boxes.

    It `shows` the host to the fleet's monitor where the host has no gateway of its own.
    """
    text = front_configuration(_front(settings, reading, place, shows=shows))
    description = "Let people with keys in to the fleet's boxes, by HAProxy"
    unit = partial(_unit, FRONT, settings, paths, description, port=settings.gateway_port)
    return _planned(FRONT, text, unit, secrets)


def _planned(
    instance: Instance, configuration: str, unit: Callable[..., str], secrets: Secrets
) -> GatewayPlan:
    digest = hashlib.sha256(unit(digest="").encode()).hexdigest()[:16]
    return GatewayPlan(instance, configuration, unit(digest=digest), digest, secrets)


def _unit(
    instance: Instance,
    settings: Settings,
    paths: Paths,
    description: str,
    *,
    port: int,
    digest: str,
) -> str:
    return render(
        "fortyninety-gateway.service.j2",
        description=description,
        service=instance.service,
        runtime=instance.runtime,
        account=GATEWAY_ACCOUNT,
        digest=digest,
        control=paths.gateway_control,
        folder=instance.folder,
        note=instance.note,
        configuration=instance.configuration,
        control_socket=instance.control_socket,
        files=settings.gateway_connections * FILES_FOR_A_CONNECTION + OTHER_FILES,
        port=port,
        # A front has nothing that could hold requests.
        hold_seconds=None if instance is FRONT else HOLD_SECONDS,
    )


def key_map_digest(text: str) -> str:
    """The SHA-256 of a map of keys."""
    return hashlib.sha256(text.encode()).hexdigest()


def policy_of(settings: Settings) -> Policy:
    """The limits that the settings set."""
    return Policy(
        max_body_kib=settings.gateway_max_body_kib,
        hold=settings.gateway_hold,
        answer_timeout=settings.gateway_answer_timeout,
        connections=settings.gateway_connections,
        connections_per_client=settings.gateway_connections_per_client,
        probe_interval=settings.gateway_probe_interval,
    )


def _gateway(settings: Settings, release: Release, reading: HostReading, place: Place) -> Gateway:
    fronts = None
    if place.fronted is not None:
        fronts = Fronts(
            addresses=_everywhere(reading, settings.gateway_fronts_port),
            certificate=PurePosixPath(GATEWAY.certificate),
            authority=PurePosixPath(GATEWAY.authority),
            names=place.fronted.names,
        )
    own = _everywhere(reading, settings.gateway_port) if asks_by_key(settings) else ()
    return Gateway(
        addresses=own,
        certificate=PurePosixPath(GATEWAY.certificate),
        key_map=PurePosixPath(GATEWAY.keys),
        drained_map=PurePosixPath(GATEWAY_DRAINED),
        control_socket=PurePosixPath(GATEWAY.control_socket),
        status_address=f"{LOOPBACK_ADDRESS}:{settings.gateway_status_port}",
        engine_address=f"{LOOPBACK_ADDRESS}:{settings.port}",
        model_name=settings.model_name,
        paths=release.api_paths,
        policy=policy_of(settings),
        fronts=fronts,
        monitor=_monitor(
            settings,
            reading,
            GATEWAY,
            {
                "engine": settings.port,
                "gateway": settings.gateway_status_port,
                **({"front": settings.front_status_port} if settings.is_front else {}),
            },
        ),
    )


def _monitor(
    settings: Settings, reading: HostReading, instance: Instance, ports: Mapping[str, int]
) -> Monitor | None:
    """Who reads a host by this of its HAProxys: the exporter, and these ports of loopback."""
    if settings.signals_port is None:
        return None
    pages = {"node": settings.signals_exporter_port, **ports}
    return Monitor(
        addresses=_everywhere(reading, settings.signals_port),
        certificate=PurePosixPath(instance.certificate),
        authority=PurePosixPath(instance.authority),
        name=MONITOR,
        pages={page: f"{LOOPBACK_ADDRESS}:{port}" for page, port in pages.items()},
    )


def _front(settings: Settings, reading: HostReading, place: Place, *, shows: bool) -> Front:
    own = {"front": settings.front_status_port}
    return Front(
        addresses=_everywhere(reading, settings.gateway_port),
        certificate=PurePosixPath(FRONT.certificate),
        identity=PurePosixPath(FRONT_IDENTITY),
        authority=PurePosixPath(FRONT.authority),
        key_map=PurePosixPath(FRONT.keys),
        control_socket=PurePosixPath(FRONT.control_socket),
        status_address=f"{LOOPBACK_ADDRESS}:{settings.front_status_port}",
        boxes=place.boxes,
        paths=place.paths,
        policy=policy_of(settings),
        monitor=_monitor(settings, reading, FRONT, own) if shows else None,
    )


def _everywhere(reading: HostReading, port: int) -> tuple[str, ...]:
    own = ("0.0.0.0", "[::]") if reading.network.ipv6 else ("0.0.0.0",)
    return tuple(f"{address}:{port}" for address in own)
