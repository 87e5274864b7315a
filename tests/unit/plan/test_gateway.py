"""What a host's gateway is planned to be, and why there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fortyninety.gateway.certificates import Given
from fortyninety.plan.gateway import Secrets
from fortyninety.plan.paths import GATEWAY_SERVICE, HAPROXY_SERVICE
from fortyninety.plan.plan import Plan, make_plan, needed_archives
from fortyninety.plan.preflight import host_problems, settings_problems
from fortyninety.plan.survey_request import survey_request
from fortyninety.plan.unit import service_unit
from fortyninety.releases.release import load_release
from fortyninety.survey.parse import read_survey
from fortyninety.survey.reading import GatewayReading, HostReading, NetworkReading, ServiceReading
from tests.unit.readings import bare_host, records, settings

SECRETS = Secrets(Given("nobody's\n"), lambda: "# changed 1\n")
NEITHER = ("nobody's", "# changed")


def plan(reading: HostReading | None = None, **changes: object) -> Plan:
    its = settings(gateway=True, **changes)
    return make_plan(its, load_release(its.engine), reading or bare_host(), secrets=SECRETS)


def test_there_is_none_unless_it_is_asked_for() -> None:
    its = settings()
    made = make_plan(its, load_release(its.engine), bare_host())
    assert its.gateway is False and made.gateway is None
    assert survey_request(its, load_release(its.engine)).gateway_ports == ()


def test_it_listens_on_its_port_and_the_engine_stays_on_loopback() -> None:
    six = replace(bare_host(), network=NetworkReading(ipv6=True))
    gateway = plan(six, gateway_port=8443, port=8111, gateway_status_port=9404).gateway
    assert gateway is not None
    text = gateway.configuration
    assert "    bind 0.0.0.0:8443 ssl" in text and "    bind [::]:8443 v6only ssl" in text
    assert "    server engine 127.0.0.1:8111" in text and "    bind 127.0.0.1:9404" in text
    four = plan().gateway
    assert four is not None and "[::]" not in four.configuration


def test_limits_are_the_settings() -> None:
    gateway = plan(
        gateway_max_body_kib=64, gateway_hold=77, gateway_connections=123, gateway_names=["a.b"]
    ).gateway
    assert gateway is not None
    assert "retries 77\n" in gateway.configuration
    assert "maxconn 123\n" in gateway.configuration
    assert "req.body_size gt 65536 }" in gateway.configuration


def test_no_secret_is_in_a_plan() -> None:
    gateway = plan().gateway
    assert gateway is not None
    assert not any(each in f"{gateway.configuration}{gateway.unit}" for each in NEITHER)


def test_another_unit_has_another_digest() -> None:
    low, high = plan().gateway, plan(gateway_port=8443).gateway
    assert low is not None and high is not None and low.digest != high.digest
    assert low.digest in low.unit
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in low.unit
    assert "CapabilityBoundingSet=\n" in high.unit


def test_the_package_is_fetched_from_the_hosts_archive() -> None:
    reading = bare_host()
    there = ("haproxy", "python3.11")
    assert needed_archives(plan(reading), reading)
    assert all(each.name in there for each in plan().gateway.packages)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (
            replace(
                bare_host(),
                service=ServiceReading(units={HAPROXY_SERVICE: {"ActiveState": "active"}}),
            ),
            "haproxy.service is active",
        ),
        (
            replace(
                bare_host(), gateway=GatewayReading(foreign_sockets=1, listeners=["LISTEN nginx"])
            ),
            "port 443 is taken: LISTEN nginx; expected free, or held by fortyninety-gateway",
        ),
    ],
)
def test_somebody_elses_server_is_left_alone(reading: HostReading, said: str) -> None:
    assert said in " ".join(
        str(each) for each in host_problems("b", settings(gateway=True), reading)
    )
    assert said not in " ".join(str(each) for each in host_problems("b", settings(), reading))


def test_an_engine_that_is_open_without_it_is_refused() -> None:
    open_ = settings(gateway=True, listen_address="0.0.0.0")
    assert "reached around it" in " ".join(map(str, settings_problems("box1", open_)))


def test_what_the_survey_says_of_a_gateway_is_read() -> None:
    digests = [letter * 64 for letter in "abc"]
    reading = read_survey(
        records(
            "ipv6",
            "gateway-account\tfortyninety-gateway:x:990:990::/home/x:/usr/sbin/nologin",
            f"gateway-unit\t{'1' * 16}",
            "\t".join(("gateway-loaded", *digests)),
            "gateway-certificate\twhole\t-----BEGIN CERTIFICATE-----|QUJD|-----END CERTIFICATE-----"
            "|",
            "gateway-socket\t443\t1\tother",
            "gateway-socket\t443\t2\tservice",
            "gateway-listener\t443\tLISTEN",
            f"unit\tId={GATEWAY_SERVICE}",
        )
    )
    gateway = reading.gateway
    assert gateway.account is not None and gateway.unit == "1" * 16 and reading.network.ipv6
    assert (
        gateway.loaded == tuple(digests)
        and gateway.certificate.whole
        and gateway.foreign_sockets == 1
    )
    pem = gateway.certificate.certificates
    assert pem is not None and pem.count("\n") == 3


def test_a_key_is_no_certificate(tmp_path: Path) -> None:
    line = "gateway-certificate\twhole\t-----BEGIN PRIVATE KEY-----|a_b|"
    with pytest.raises(Exception, match="certificates"):
        read_survey(records(line))


def test_the_engine_ends_once_the_gateway_holds_new_requests() -> None:
    with_gateway = service_unit(plan(port=8111))
    control = "/opt/fortyninety/bin/gateway-control"
    socket = "/run/fortyninety-gateway/control.sock"
    assert f"\nExecStop=-+{control} hold {socket} 30\n" in with_gateway
    assert f"\nExecStopPost=-+{control} release {socket} 127.0.0.1 8111\n" in with_gateway
    its = settings()
    assert "gateway" not in service_unit(make_plan(its, load_release(its.engine), bare_host()))


def test_a_gateway_ends_once_what_is_under_way_has() -> None:
    gateway = plan().gateway
    assert gateway is not None
    control = "/opt/fortyninety/bin/gateway-control"
    socket = "/run/fortyninety-gateway/control.sock"
    assert f"\nExecStop=-+{control} hold {socket} 30\nTimeoutStopSec=60\n" in gateway.unit


def test_at_a_shutdown_the_engine_ends_before_the_gateway_does() -> None:
    """What starts after a unit is stopped before it, and its streams end through that."""
    text = service_unit(plan())
    assert "\nAfter=fortyninety-gateway.service\n" in text.partition("[Service]")[0]
