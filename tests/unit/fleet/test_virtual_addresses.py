"""Which fronts of an inventory share an address, and under which names they are verified."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.fleet.fronts import names_of
from fortyninety.fleet.virtual_addresses import places_of
from fortyninety.gateway.shared_address import Place
from tests.unit.readings import default_data, settings

SHARED = "192.0.2.10/24"


def front(last: int, **changes: Any) -> dict[str, Any]:
    its = {"roles": ["gateway"], "virtual_address": SHARED, "ssh_hostname": f"192.0.2.{last}"}
    return {**default_data(), **its, **changes}


def test_a_front_that_a_limit_leaves_out_is_still_one_of_them() -> None:
    data = {"a": front(1), "b": front(2), "box": default_data()}
    assert places_of(data, {"b"}) == ({"b": Place(SHARED, "192.0.2.2", ("192.0.2.1",))}, [])


def test_where_nobody_of_the_run_shares_one_nobody_is_looked_at() -> None:
    data = {"a": front(1, roles=["nonsense"]), "box": default_data()}
    assert places_of(data, {"box"}) == ({}, [])


def test_what_is_wrong_with_a_front_outside_of_the_run_is_said() -> None:
    data = {"a": front(1), "b": front(2, gateway_port=0)}
    places, problems = places_of(data, {"a"})
    assert places == {} and [(each.host, each.subject) for each in problems] == [
        ("b", "gateway_port")
    ]


def test_a_front_reaches_the_others_by_the_kind_of_address_that_they_share() -> None:
    six = {"virtual_address": "2001:db8::10/64"}
    data = {
        "a": front(1, **six, peer_address="2001:db8::1"),
        "b": front(2, **six, peer_address="2001:db8::2"),
    }
    places, problems = places_of(data, {"a"})
    assert problems == [] and places["a"].peers == ("2001:db8::2",)
    wrong = places_of(data | {"b": front(2, **six)}, {"a"})[1]
    assert [(each.host, each.subject) for each in wrong] == [("b", "ssh_hostname")]


def test_one_front_alone_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    places, problems = places_of({"a": front(1)}, {"a"})
    assert places["a"].peers == () and problems == []
    assert "192.0.2.10 has no other front" in caplog.text


def test_a_front_is_verified_by_the_address_that_it_shares() -> None:
    own = settings(roles=["gateway"], virtual_address=SHARED)
    data = {"ssh_hostname": "192.0.2.1"}
    assert names_of("a", data, own) == ("a", "192.0.2.1", "192.0.2.10")
    assert names_of("a", data, settings(roles=["gateway"])) == ("a", "192.0.2.1")
