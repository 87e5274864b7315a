"""What a box is to say of itself, and that one is to say nothing unless it is asked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from fortyninety.gateway.authority import MONITOR
from fortyninety.gateway.front_configuration import Box
from fortyninety.plan.fronts import Fronted, Place
from fortyninety.plan.paths import (
    EXPORTER_SERVICE,
    SIGNALS_AUTHORITY,
    SIGNALS_FRONT_IDENTITY,
    SIGNALS_MONITOR,
    SIGNALS_SERVICE,
    SIGNALS_TIMER,
)
from fortyninety.plan.plan import make_plan, needed_archives
from fortyninety.plan.preflight import host_problems
from fortyninety.plan.signals import SignalsPlan
from fortyninety.releases.release import load_release
from tests.unit.plan.systemd_verify import needs_systemd, wrong_lines
from tests.unit.plan.test_fronts import BELIEVED, OF_BOX, OF_FRONT
from tests.unit.plan.test_gateway import SECRETS
from tests.unit.readings import bare_host, settings

BEHIND = Place(boxes=(Box("box-1", "192.0.2.11:8443"),), paths={"/v1/models": "GET"})


def plan(*, gateway: bool = False, **changes: object) -> SignalsPlan:
    its = settings(signals=True, gateway=gateway, **changes)
    made = make_plan(
        its, load_release(its.engine), bare_host(), secrets=SECRETS if gateway else None
    )
    assert made.signals is not None
    return made.signals


def test_there_is_none_unless_it_is_asked_for() -> None:
    its = settings()
    assert its.signals is False
    assert make_plan(its, load_release(its.engine), bare_host()).signals is None


def test_the_box_is_told_what_it_cannot_know() -> None:
    known = json.loads(plan().known)
    assert known["cards"] == 2 and known["port"] == 8000 and "gateway_port" not in known
    assert known["power_limits"] == {"": 400}
    assert known["engine"]["release"] == "0.8.5.post1"
    assert ["CVE-2026-48746", "0.22.0"] in known["advisories"]
    with_gateway = json.loads(plan(gateway=True).known)
    assert (with_gateway["gateway_port"], with_gateway["status_port"]) == (443, 8404)


def test_a_host_without_an_engine_is_read_too() -> None:
    its = settings(signals=True, roles=["monitor"])
    made = make_plan(its, load_release(its.engine), bare_host()).signals
    assert made is not None
    assert json.loads(made.known) == {"cards": 0, "certificates": {"monitor": SIGNALS_MONITOR}}
    assert made.shown == (SIGNALS_MONITOR,)


def test_caps_of_cards_are_by_their_kernel_names() -> None:
    caps = {"00000000:01:00.0": 300, "GPU-1": 350}
    assert json.loads(plan(power_limit=caps).known)["power_limits"] == {
        "0000:01:00.0": 300,
        "GPU-1": 350,
    }


def test_nobody_but_the_box_itself_is_answered() -> None:
    made = plan(signals_exporter_port=9123)
    assert "--web.listen-address=127.0.0.1:9123\n" in made.exporter
    assert all("IPAddressDeny=any\n" in each for each in (made.exporter, made.service))


def test_the_gateway_shows_it_to_the_monitor_where_the_settings_name_a_port() -> None:
    its = settings(signals=True, gateway=True, signals_port=9491, firewall=True)
    made = make_plan(its, load_release(its.engine), bare_host(), secrets=SECRETS)
    assert made.gateway is not None and made.firewall is not None
    text = made.gateway.configuration
    assert "bind 0.0.0.0:9491 ssl" in text and MONITOR in text
    for page, port in (("node", 9490), ("engine", 8000), ("gateway", 8404)):
        assert f"server {page} 127.0.0.1:{port}\n" in text
    assert (9491,) in [door.ports for door in made.firewall.doors]
    without = settings(signals=True, gateway=True)
    other = make_plan(without, load_release(its.engine), bare_host(), secrets=SECRETS).gateway
    assert other is not None and "frontend signals" not in other.configuration


def test_a_front_shows_itself_where_no_gateway_of_its_host_does() -> None:
    shown = {"signals": True, "signals_port": 9491, "firewall": True}
    its = settings(roles=["gateway"], **shown)
    assert "signals_port" not in [each.subject for each in host_problems("f", its, bare_host())]
    made = make_plan(
        its, load_release(its.engine), bare_host(), front_secrets=OF_FRONT, place=BEHIND
    )
    assert made.front is not None and made.signals is not None and made.firewall is not None
    for page, port in (("node", 9490), ("front", 8405)):
        assert f"server {page} 127.0.0.1:{port}\n" in made.front.configuration
    assert "server engine" not in made.front.configuration
    assert (9491,) in [door.ports for door in made.firewall.doors]
    known = json.loads(made.signals.known)
    assert (known["front_port"], known["front_status_port"], known["cards"]) == (443, 8405, 0)
    assert known["certificates"] == {
        "authority": SIGNALS_AUTHORITY,
        "front_identity": SIGNALS_FRONT_IDENTITY,
    }
    assert made.signals.authority is BELIEVED and made.signals.shown == (SIGNALS_FRONT_IDENTITY,)

    both = settings(roles=["engine", "gateway"], **shown)
    made = make_plan(
        both,
        load_release(both.engine),
        bare_host(),
        secrets=OF_BOX,
        front_secrets=OF_FRONT,
        place=replace(BEHIND, fronted=Fronted(("front-1",), ("192.0.2.1",))),
    )
    assert made.gateway is not None and made.front is not None
    assert "server front 127.0.0.1:8405\n" in made.gateway.configuration
    assert "frontend signals" not in made.front.configuration


@pytest.mark.parametrize("changes", [{"gateway": True}, {"signals": True}, {}])
def test_a_port_for_the_monitor_needs_both(changes: dict[str, object]) -> None:
    its = settings(signals_port=9491, **changes)
    found = [each.subject for each in host_problems("b", its, bare_host())]
    assert "signals_port" in found
    whole = settings(signals_port=9491, gateway=True, signals=True)
    found = [each.subject for each in host_problems("b", whole, bare_host())]
    assert "signals_port" not in found


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        *((path, True) for path in ("/", "/mnt/models", "/media/disk", "/srv", "/runs")),
        *((path, False) for path in ("/run/lock", "/sys", "/var/lib/docker/overlay2/x/merged")),
    ],
)
def test_a_disk_is_seen_wherever_it_is_mounted(path: str, *, seen: bool) -> None:
    (pattern,) = re.findall(r'mount-points-exclude="(.*)" \\$', plan().exporter, re.MULTILINE)
    assert (re.search(pattern, path) is None) == seen


def test_it_is_read_as_often_as_the_settings_say() -> None:
    assert "OnUnitActiveSec=45\n" in plan(signals_interval=45).timer


def test_its_package_counts_among_those_that_are_needed() -> None:
    its = settings(signals=True)
    made = make_plan(its, load_release(its.engine), bare_host())
    assert made.signals is not None
    assert [each.name for each in made.signals.packages] == ["prometheus-node-exporter"]
    assert needed_archives(made, bare_host())


@needs_systemd
def test_systemd_reads_its_units(tmp_path: Path) -> None:
    made = plan()
    units = {
        SIGNALS_SERVICE: made.service,
        SIGNALS_TIMER: made.timer,
        EXPORTER_SERVICE: made.exporter,
    }
    wrong = wrong_lines(tmp_path, units)
    assert not wrong, wrong
