"""Which boxes are behind which front, what they know of each other, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fortyninety.gateway.certificates import Believed, Given, Issued
from fortyninety.gateway.front_configuration import Box
from fortyninety.plan.fronts import Fronted, Member, Place, place_of, place_problems
from fortyninety.plan.gateway import Secrets
from fortyninety.plan.instance import FRONT, GATEWAY
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.plan.survey_request import survey_request
from fortyninety.plan.unit import service_unit
from fortyninety.releases.release import load_release
from fortyninety.survey.parse import read_survey
from tests.unit.readings import bare_host, records, settings

NOWHERE = Path("/nonexistent")
BELIEVED = Believed(NOWHERE, "fleet")
OF_BOX = Secrets(Issued(NOWHERE, "fleet", ("box-1",)), None, BELIEVED)
OF_FRONT = Secrets(
    Given("nobody's\n"), lambda: "# changed 1\n", BELIEVED, Issued(NOWHERE, "fleet", ("front-1",))
)
SALTED = {"engine": "0.32.0", "tensor_parallel_size": 2}


def member(name: str, address: str, *, answers: bool = True, **changes: Any) -> Member:
    its = settings(**changes)
    return Member(name, its, (name,), (address,), answers and its.has_engine)


def front(name: str = "front-1", address: str = "192.0.2.1", **changes: Any) -> Member:
    return member(name, address, roles=["gateway"], **changes)


BOXES = (member("box-1", "192.0.2.11"), member("box-2", "2001:db8::12"))
FLEET = (front(), *BOXES)


def said(name: str, *members: Member) -> str:
    return "; ".join(map(str, place_problems(name, members)))


def planned(own: Member, place: Place) -> Plan:
    its = own.settings
    return make_plan(
        its,
        load_release(its.engine),
        bare_host(),
        secrets=OF_BOX if place.fronted else None,
        front_secrets=OF_FRONT if its.is_front else None,
        place=place,
    )


def test_a_front_has_the_boxes_that_serve_its_model() -> None:
    other = member("other", "192.0.2.13", served_model_name="another")
    follower = member("box-3", "192.0.2.14", answers=False)
    place = place_of("front-1", [*FLEET, other, follower])
    assert place.boxes == (Box("box-1", "192.0.2.11:8443"), Box("box-2", "[2001:db8::12]:8443"))
    assert "/v1/models" in place.paths and place.fronted is None
    assert place_of("other", [*FLEET, other]) == place_of("box-3", [*FLEET, follower])
    assert said("front-1", *FLEET) == said("box-1", *FLEET) == ""


def test_a_box_knows_the_fronts_and_their_addresses_alone() -> None:
    more = front("front-2", "192.0.2.2")
    place = place_of("box-1", [*FLEET, more])
    assert place.fronted == Fronted(("front-1", "front-2"), ("192.0.2.1", "192.0.2.2"))
    plan = planned(BOXES[0], place)
    assert plan.gateway is not None and plan.front is None
    text = plan.gateway.configuration
    assert "bind 0.0.0.0:8443 ssl" in text and "frontend api" not in text
    assert "ssl_c_s_dn(cn) -m str 'front-1' 'front-2'" in text
    assert f"gateway-control hold {GATEWAY.control_socket}" in service_unit(plan)


def test_a_box_with_keys_of_its_own_keeps_letting_people_in() -> None:
    own = member("box-1", "192.0.2.11", gateway=True)
    plan = planned(own, place_of("box-1", [front(), own]))
    assert plan.gateway is not None
    assert "bind 0.0.0.0:443 ssl" in plan.gateway.configuration
    assert "bind 0.0.0.0:8443 ssl" in plan.gateway.configuration


def test_a_box_that_is_a_front_lets_people_in_as_that() -> None:
    own = member("box-1", "192.0.2.11", roles=["engine", "gateway"], gateway=True)
    plan = planned(own, place_of("box-1", [own]))
    assert plan.gateway is not None and plan.front is not None
    assert ":443 " not in plan.gateway.configuration
    assert "bind 0.0.0.0:443 ssl" in plan.front.configuration
    assert "server box-1 192.0.2.11:8443 ssl" in plan.front.configuration
    assert plan.front.unit.count("fortyninety-front") > 2 and FRONT.folder in plan.front.unit
    request = survey_request(own.settings, plan.release, place_of("box-1", [own]))
    assert (request.gateway_ports, request.front_ports) == ((8443,), (443,))


def test_a_front_without_an_engine_has_nothing_else() -> None:
    plan = planned(FLEET[0], place_of("front-1", FLEET))
    assert plan.gateway is None and plan.front is not None and plan.boxes == ("box-1", "box-2")
    assert not any(each in plan.front.configuration for each in ("nobody's", "# changed"))


def test_fronts_and_only_they_are_let_in() -> None:
    box = member("box-1", "192.0.2.11", firewall=True)
    closed = planned(box, place_of("box-1", [front(), box])).firewall
    assert closed is not None
    assert "ip saddr { 192.0.2.1/32 } tcp dport { 8443 } accept" in closed.rules
    assert "443 } accept" not in closed.rules.replace("8443", "")
    own = front(firewall=True)
    opened = planned(own, place_of("front-1", [own, box])).firewall
    assert opened is not None and "dport { 443 } accept" in opened.rules
    assert "8443" not in opened.rules and "8873" not in opened.rules


def test_tenants_are_kept_apart_behind_a_front_too() -> None:
    box = member("box-1", "192.0.2.11", **SALTED)
    assert planned(box, place_of("box-1", [front(**SALTED), box])).tenants_apart
    assert not planned(box, Place()).tenants_apart


@pytest.mark.parametrize(
    ("name", "members", "wanted"),
    [
        ("front-1", (front(),), "no host has the role 'engine'"),
        ("front-1", (front(served_model_name="x"), *BOXES), "no box serves 'x': boxes serve"),
        (
            "front-1",
            (
                *FLEET,
                member(
                    "box-3",
                    "192.0.2.13",
                    model_repository="a/b",
                    served_model_name=settings().model_name,
                ),
            ),
            "under one name; expected one model behind a front",
        ),
        (
            "front-1",
            (front(gateway_max_body_kib=512), *BOXES),
            "gateway_max_body_kib is 512, and less at box-1, box-2",
        ),
        (
            "box-1",
            (
                front(),
                member("box-1", "192.0.2.11", gateway=True, gateway_certificate="/etc/mine.pem"),
            ),
            "gateway_certificate is set, and the box is behind a front; expected None",
        ),
        (
            "box-1",
            (front(), member("box-1", "192.0.2.11", gateway_port=8443)),
            "gateway_fronts_port is 8443; expected another port than gateway_port's",
        ),
        (
            "box-1",
            (front(), member("box-1", "192.0.2.11", engine="0.32.0", listen_address="0.0.0.0")),
            "expected '127.0.0.1' behind a front",
        ),
        (
            "front-1",
            (front(), Member("box-1", settings(), ("box-1",), (), answers=True)),
            "the address of box-1 is not found here",
        ),
    ],
)
def test_what_cannot_be_is_refused(name: str, members: tuple[Member, ...], wanted: str) -> None:
    assert wanted in said(name, *members)


def test_what_is_beside_a_front_is_not_refused() -> None:
    mine = member("box-1", "192.0.2.11", gateway=True, gateway_certificate="/etc/mine.pem")
    assert said("box-1", mine) == said("box-1", mine, front(served_model_name="x")) == ""


def test_what_the_survey_says_of_a_front_is_read() -> None:
    pem = "-----BEGIN CERTIFICATE-----|QUJD|-----END CERTIFICATE-----|"
    reading = read_survey(
        records(
            f"front-unit\t{'1' * 16}",
            "\t".join(("front-loaded", *(letter * 64 for letter in "abc"))),
            f"front-certificate\tother\t{pem}",
            f"front-identity\twhole\t{pem}",
            "front-socket\t443\t1\tother",
        )
    ).front
    assert reading.unit == "1" * 16 and reading.loaded is not None and reading.foreign_sockets == 1
    assert reading.identity.whole and not reading.certificate.whole
    assert reading.identity.certificates == reading.certificate.certificates
    assert reading.identity.certificates is not None
