"""What is believed of a host's addresses and neighbours, and what follows for a shared address."""

from __future__ import annotations

import pytest

from fortyninety.gateway.shared_address import Place
from fortyninety.gateway.surroundings import MOST_LINES, read_surroundings
from fortyninety.plan.host_virtual_address import virtual_address_problems
from fortyninety.plan.paths import KEEPALIVED_SERVICE, VIRTUAL_ADDRESS_SERVICE
from fortyninety.survey.reading import ServiceReading
from fortyninety.survey.records import Unreadable
from tests.unit.readings import bare_host

PLACE = Place("192.0.2.10/24", "192.0.2.1", ("192.0.2.2",))
SIX = Place("2001:db8::10/64", "2001:db8::1", ("2001:db8::2",))
OWN = (
    "link 02:00:00:00:00:01",
    "own lo 127.0.0.1/8",
    "own eth0 192.0.2.1/24",
    "own eth0 2001:db8::1/64",
    "own eth0 fe80::1/64",
)
PEER = "neighbour 192.0.2.2 02:00:00:00:00:02"


def found(*lines: str, place: Place = PLACE, **states: str) -> list[tuple[str, str]]:
    units = {
        f"{name.replace('_', '-')}.service": {"ActiveState": state}
        for name, state in states.items()
    }
    reading = bare_host(service=ServiceReading(units=units))
    around = read_surroundings(lines)
    problems = virtual_address_problems("front-1", place, reading, around)
    return [(each.subject, each.found) for each in problems]


def test_a_host_in_the_network_can_have_it() -> None:
    assert found(*OWN, PEER) == [] and found(*OWN, PEER, place=SIX) == []
    around = read_surroundings(OWN)
    assert around.interface_for(PLACE.interface) == "eth0"
    assert around.interface_for(SIX.interface) == "eth0"


def test_another_front_may_have_it_and_nobody_else() -> None:
    assert found(*OWN, PEER, "neighbour 192.0.2.10 02:00:00:00:00:02") == []
    stranger = "neighbour 192.0.2.10 02:00:00:00:00:99"
    assert found(*OWN, PEER, stranger) == [
        ("virtual_address", "192.0.2.10, which 02:00:00:00:00:99 has")
    ]
    # Also where the other front does not answer.
    assert len(found(*OWN, stranger)) == 1


def test_it_may_be_here_while_the_unit_runs() -> None:
    here = (*OWN, PEER, "own eth0 192.0.2.10/24")
    assert found(*here, fortyninety_virtual_address="active") == []
    assert found(*here) == [
        ("virtual_address", f"192.0.2.10, which the host has without {VIRTUAL_ADDRESS_SERVICE}")
    ]
    # Its own network is none that the host is in without it.
    assert read_surroundings(here[4:]).interface_for(PLACE.interface) is None


@pytest.mark.parametrize(
    "own", ["own eth0 198.51.100.1/24", "own eth0 192.0.2.1/32", "own eth0 192.0.2.200/25"]
)
def test_a_host_outside_of_the_network_is_refused(own: str) -> None:
    place = Place("192.0.2.10/24", own.split()[2].partition("/")[0], ("192.0.2.2",))
    assert found("link 02:00:00:00:00:01", own, place=place) == [
        ("virtual_address", "192.0.2.10/24")
    ]


def test_an_address_of_a_translation_is_refused() -> None:
    place = Place("192.0.2.10/24", "203.0.113.1", ("203.0.113.2",))
    assert found(*OWN, place=place) == [("peer_address", "203.0.113.1")]


def test_somebodys_own_keepalived_is_left_alone() -> None:
    assert found(*OWN, PEER, keepalived="active") == [
        (KEEPALIVED_SERVICE, "active: somebody's own keepalived")
    ]
    assert found(*OWN, PEER, keepalived="inactive") == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "own eth0",
        "own eth0 192.0.2.1",
        "own eth0 192.0.2.1/33",
        "own an-interface-too-long 192.0.2.1/24",
        "own eth0\x1b[2J 192.0.2.1/24",
        "neighbour 192.0.2.2 02:00:00:00:00",
        "neighbour nobody 02:00:00:00:00:02",
        "link 0",
    ],
)
def test_another_line_is_not_believed(line: str) -> None:
    with pytest.raises(Unreadable) as error:
        read_surroundings([*OWN, line])
    assert str(error.value).isprintable()


def test_an_endless_answer_is_not_read() -> None:
    with pytest.raises(Unreadable):
        read_surroundings([OWN[0]] * (MOST_LINES + 2))
