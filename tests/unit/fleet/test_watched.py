"""Which boxes of an inventory a monitor watches."""

from __future__ import annotations

from typing import Any

from fortyninety.fleet.watched import watched_of
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from tests.unit.readings import default_data

SHOWN = {"signals": True, "signals_port": 9491, "gateway": True}


def parsed(**hosts: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Settings]]:
    """The data and the settings of hosts."""
    data = {name: {**default_data(), **its} for name, its in hosts.items()}
    settings = {name: parse_settings(name, its) for name, its in data.items()}
    good = {name: its for name, its in settings.items() if isinstance(its, Settings)}
    assert len(good) == len(hosts), settings
    return data, good


def watched(**hosts: dict[str, Any]) -> tuple[list[str], list[str]]:
    boxes, problems = watched_of(*parsed(**hosts))
    return [each.target for each in boxes], [each.host for each in problems]


def test_boxes_that_show_themselves_are_watched_and_hosts_without_an_engine_are_no_boxes() -> None:
    found = watched(
        box={**SHOWN, "ssh_hostname": "192.0.2.1"},
        quiet={"ssh_hostname": "192.0.2.2"},
        monitor={"roles": ["monitor"], "ssh_hostname": "192.0.2.3"},
        both={**SHOWN, "roles": ["engine", "monitor"], "ssh_hostname": "2001:db8::4"},
    )
    assert found == (["192.0.2.1:9491", "[2001:db8::4]:9491"], ["quiet"])


def test_a_front_is_watched_on_pages_of_its_own() -> None:
    front = {"signals": True, "signals_port": 9491, "roles": ["gateway"]}
    data, settings = parsed(
        box={**SHOWN, "ssh_hostname": "192.0.2.1"},
        front={**front, "ssh_hostname": "192.0.2.2"},
        both={**front, "roles": ["engine", "gateway"], "ssh_hostname": "192.0.2.3"},
        quiet={"roles": ["gateway"], "ssh_hostname": "192.0.2.4"},
        # What its own front shows is signed by nobody whom the monitor believes.
        own={**front, "ssh_hostname": "192.0.2.5", "gateway_certificate": "/tmp/own.pem"},
    )
    boxes, problems = watched_of(data, settings)
    assert {each.name: (each.pages, bool(each.release)) for each in boxes} == {
        "box": (("node", "engine", "gateway"), True),
        "front": (("node", "front"), False),
        "both": (("node", "engine", "gateway", "front"), True),
    }
    assert [each.host for each in problems] == ["quiet", "own"]


def test_of_a_cell_the_head_is_watched() -> None:
    cell = {**SHOWN, "cell": "a", "engine": "0.32.0"}
    head, member = ({**cell, "ssh_hostname": f"192.0.2.{last}"} for last in (1, 2))
    assert watched(head=head, member=member) == (["192.0.2.1:9491"], ["member"])
