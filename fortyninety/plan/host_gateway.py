"""Say what keeps a gateway from a host: other programs, and an engine that is open without it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.gateway import gateway_ports
from fortyninety.plan.paths import FRONT_SERVICE, GATEWAY_SERVICE, HAPROXY_SERVICE
from fortyninety.problem import Problem
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import GatewayReading, HostReading
from fortyninety.text.printable import printable


def gateway_settings_problems(host: str, settings: Settings, release: Release) -> Iterator[Problem]:
    """What is wrong with the settings, before the host is looked at."""
    if settings.gateway and release.listens_where_told and settings.listen_address != "127.0.0.1":
        yield Problem(
            host=host,
            subject="listen_address",
            found=repr(settings.listen_address),
            expected="'127.0.0.1' with gateway = True: else the engine is reached around it",
        )


def gateway_problems(
    host: str, settings: Settings, reading: HostReading, place: Place = ALONE
) -> Iterator[Problem]:
    """What is wrong with the host, for its gateway and for its front."""
    own = gateway_ports(settings, place)
    front = (settings.gateway_port,) if settings.is_front else ()
    if settings.signals_port is not None and not ((own or front) and settings.signals):
        yield Problem(
            host=host,
            subject="signals_port",
            found=str(settings.signals_port),
            expected="None without signals = True and a gateway or a front, which shows them",
        )
    if not (own or front):
        return
    if reading.unit(HAPROXY_SERVICE, "ActiveState") == "active":
        yield Problem(
            host=host,
            subject=HAPROXY_SERVICE,
            found="active: somebody's own HAProxy",
            expected=f"none beside {GATEWAY_SERVICE}",
            remedy=f"`systemctl disable --now {HAPROXY_SERVICE}` if it is not needed",
        )
        return
    # What was before gives its port to what is, in the same deploy.
    if reading.unit(FRONT_SERVICE, "ActiveState") not in ("active", "reloading"):
        yield from _taken(host, own, GATEWAY_SERVICE, reading.gateway)
    if reading.unit(GATEWAY_SERVICE, "ActiveState") not in ("active", "reloading"):
        yield from _taken(host, front, FRONT_SERVICE, reading.front)


def _taken(
    host: str, ports: Sequence[int], service: str, reading: GatewayReading
) -> Iterator[Problem]:
    if not (ports and reading.foreign_sockets):
        return
    who = "; ".join(" ".join(each.split()) for each in reading.listeners)
    yield Problem(
        host=host,
        subject=f"port {' or '.join(map(str, ports))}",
        found=f"taken: {printable(who, 500) or 'by what cannot be named'}",
        expected=f"free, or held by {service}",
        remedy="Stop what listens there, or choose another gateway_port",
    )
