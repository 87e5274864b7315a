"""To which hosts of an inventory a host hands its model on, by the data of all of them."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.fleet.peers import peers_of
from tests.unit.readings import default_data


def inventory(**hosts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {**default_data(), "firewall": True, **data} for name, data in hosts.items()}


ONE = {"ssh_hostname": "192.0.2.11"}
TWO = {"ssh_hostname": "192.0.2.12"}


def test_a_firewall_knows_all_others_also_those_that_a_limit_leaves_out() -> None:
    data = inventory(one=ONE, two=TWO, three={**ONE, "peer_address": "2001:db8::13"})
    assert peers_of(data, {"one"}) == {"one": ("192.0.2.12", "2001:db8::13")}
    assert peers_of(data, {"three", "two"}) == {
        "two": ("192.0.2.11", "2001:db8::13"),
        "three": ("192.0.2.11", "192.0.2.12"),
    }


def test_who_hands_nothing_on_is_no_peer_and_has_none() -> None:
    data = inventory(
        one=ONE,
        front={**TWO, "roles": ["gateway"]},
        alone={**TWO, "snapshot_peers": False},
        open={"ssh_hostname": "192.0.2.14", "firewall": False},
    )
    assert peers_of(data, set(data)) == {"one": ("192.0.2.14",)}


def test_a_host_whose_address_is_not_found_is_said_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = inventory(one=ONE, two=TWO, lost={"ssh_hostname": "not a name"})
    assert peers_of(data, {"one"}) == {"one": ("192.0.2.12",)}
    assert "[lost] its address is not found here" in caplog.text


def test_nothing_is_looked_up_without_a_firewall(caplog: pytest.LogCaptureFixture) -> None:
    data = inventory(one={**ONE, "firewall": False}, lost={"ssh_hostname": "not a name"})
    assert peers_of(data, {"one"}) == {}
    assert caplog.text == ""
