"""Which hosts of an inventory are behind which, by the data of all of them."""

from __future__ import annotations

from typing import Any

from fortyninety.fleet.fronts import fronts_of
from fortyninety.plan.fronts import Fronted, Place
from tests.unit.readings import default_data

FRONT = {"ssh_hostname": "192.0.2.1", "roles": ["gateway"]}
BOX = {"ssh_hostname": "192.0.2.11"}


def inventory(**hosts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {**default_data(), **data} for name, data in hosts.items()}


def test_without_a_front_nothing_is_looked_at() -> None:
    data = inventory(box=BOX, wrong={"power_limit": "much"})
    assert fronts_of(data, set(data)) == ({}, [])


def test_a_front_has_boxes_that_a_limit_leaves_out() -> None:
    data = inventory(front=FRONT, box=BOX, other={"ssh_hostname": "192.0.2.12"})
    places, problems = fronts_of(data, {"front"})
    assert not problems and set(places) == {"front"}
    assert [box.name for box in places["front"].boxes] == ["box", "other"]
    places, problems = fronts_of(data, {"other"})
    assert places["other"].fronted == Fronted(("front",), ("192.0.2.1",))


def test_of_a_cell_the_head_alone_is_behind_a_front() -> None:
    cell = {"cell": "a", "engine": "0.32.0"}
    data = inventory(
        front=FRONT, head={**BOX, **cell}, member={"ssh_hostname": "192.0.2.9", **cell}
    )
    places, problems = fronts_of(data, set(data))
    assert not problems and [box.name for box in places["front"].boxes] == ["head"]
    assert places["head"].fronted is not None and places["member"].fronted is None


def test_others_reach_a_host_at_its_peer_address() -> None:
    data = inventory(
        front={**FRONT, "peer_address": "10.0.0.1"}, box={**BOX, "peer_address": "::2"}
    )
    places, _ = fronts_of(data, set(data))
    assert [box.address for box in places["front"].boxes] == ["[::2]:8443"]
    assert places["box"].fronted == Fronted(("front",), ("10.0.0.1",))


def test_two_boxes_may_be_each_others_fronts() -> None:
    both = ["engine", "gateway"]
    data = inventory(one={**BOX, "roles": both}, two={"ssh_hostname": "192.0.2.12", "roles": both})
    places, problems = fronts_of(data, set(data))
    assert not problems
    for place in places.values():
        assert [box.name for box in place.boxes] == ["one", "two"]
        assert place.fronted is not None and place.fronted.names == ("one", "two")


def test_data_that_cannot_be_read_stop_a_front_and_are_named() -> None:
    data = inventory(front=FRONT, box=BOX, wrong={**BOX, "power_limit": "much"})
    places, problems = fronts_of(data, {"front"})
    assert places == {} and [each.subject for each in problems] == ["power_limit"]


def test_a_front_whose_boxes_cannot_be_read_is_not_said_to_have_none() -> None:
    data = inventory(front=FRONT, box={**BOX, "power_limit": "much"})
    assert fronts_of(data, {"front", "box"}) == ({"front": Place()}, [])
    data = inventory(front=FRONT, box={**BOX, "served_model_name": "another"})
    assert [each.subject for each in fronts_of(data, {"front", "box"})[1]] == ["roles"]


def test_a_problem_of_a_host_outside_of_the_limit_does_not_stop_others() -> None:
    nameless = {"ssh_hostname": "no-such-host.invalid"}
    data = inventory(front=FRONT, box=BOX, lost=nameless)
    assert fronts_of(data, {"box"})[1] == []
    assert [each.host for each in fronts_of(data, {"front"})[1]] == ["front"]
