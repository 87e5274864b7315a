"""A box that lets in only what its settings name: now, and after its next boot."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.inventory_bridge import Box

UNIT = "fortyninety-firewall.service"
TABLE = "inet fortyninety_firewall"
RULES = "/etc/fortyninety/firewall.nft"


@pytest.fixture(scope="session")
def table(host: Host) -> list[dict[str, Any]]:
    """What the kernel has of the table, as nft lists it; nothing where there is none."""
    listed = host.run(f"nft --json list table {TABLE}")
    found: list[dict[str, Any]] = json.loads(listed.stdout)["nftables"] if listed.rc == 0 else []
    return found


def test_the_firewall_drops_what_nobody_named(table: list[dict[str, Any]]) -> None:
    """Without its rules every port that something listens on is open to whoever finds it."""
    chains = [each["chain"] for each in table if "chain" in each]
    found = [(each.get("hook"), each.get("policy")) for each in chains]
    assert found == [("input", "drop")], (
        f"table {TABLE} is {found or 'not there'}; expected one chain at input that drops. "
        "Deploy again"
    )


def test_the_firewall_comes_back_at_boot(host: Host) -> None:
    """A box that was rebooted for its driver would be open from then on."""
    unit = host.service(UNIT)
    assert unit.is_enabled and unit.is_running, f"{UNIT} is not enabled and active. Deploy again"
    ordered = host.check_output(f"systemctl show --property=Before --value {UNIT}").split()
    assert "network-pre.target" in ordered, f"{UNIT} is not before the network. Deploy again"


def test_the_rules_on_disk_are_those_in_the_kernel(host: Host) -> None:
    """At the next boot others would be in force than those that were tried."""
    digests = [
        re.findall(r'^\s*comment "([0-9a-f]+)"$', host.run(command).stdout, re.MULTILINE)[:1]
        for command in (f"cat {RULES}", f"nft list table {TABLE}")
    ]
    assert digests[0] and digests[0] == digests[1], (
        f"{RULES} has {digests[0]}, the kernel {digests[1]}; expected the same. Deploy again"
    )


def test_only_named_ports_are_let_in(
    host: Host,
    box: Box,
    settings: Settings,
    table: list[dict[str, Any]],
    *,
    fronts: list[Box],
    peers: list[Box],
) -> None:
    """A rule that somebody added by hand opens a port, and nobody remembers it."""
    expected = {int(each) for each in re.findall(r"^port (\d+)$", host.run("sshd -T").stdout, re.M)}
    expected |= {int(box.data.get("ssh_port") or 22), *settings.other_listening_ports}
    expected |= {settings.gateway_port} if settings.gateway or settings.is_front else set()
    expected |= {settings.signals_port} if settings.signals_port else set()
    of_the_fleet = {settings.gateway_fronts_port} if fronts else set()
    of_the_fleet |= {settings.peer_port} if peers else set()
    expected |= of_the_fleet
    # Leases: of DHCP and of DHCPv6.
    expected |= {68, 546}
    strangers: list[str] = []
    for rule in (each["rule"]["expr"] for each in table if "rule" in each):
        ports = _ports(rule)
        if {"accept": None} not in rule:
            continue
        strangers += map(str, sorted(ports - expected))
        # From the fleet's own hosts alone.
        if ports & of_the_fleet and "saddr" not in str(rule):
            strangers += (f"everybody at {each}" for each in sorted(ports & of_the_fleet))
    assert not strangers, (
        f"the firewall lets in {', '.join(strangers)}; expected "
        f"{', '.join(map(str, sorted(expected)))}. Deploy again, or name it in "
        "other_listening_ports"
    )


def _ports(rule: list[dict[str, Any]]) -> set[int]:
    """The destination ports that a rule names."""
    found: set[int] = set()
    for match in (each["match"] for each in rule if "match" in each):
        if match["left"].get("payload", {}).get("field") != "dport":
            continue
        right = match["right"]
        for each in right["set"] if isinstance(right, dict) and "set" in right else [right]:
            ends = each["range"] if isinstance(each, dict) and "range" in each else [each, each]
            found |= set(range(int(ends[0]), int(ends[1]) + 1))
    return found
