"""A box that serves one model together with others: with all of them, and with nobody else."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.inventory_bridge import Box
from tests.host.live_process import SERVICE

FIREWALL = "fortyninety-cell-firewall.service"


def address_of(box: Box) -> str:
    """By which the other members reach a box."""
    named = box.data.get("cell_address") or box.data.get("ssh_hostname") or box.name
    return str(socket.getaddrinfo(named, None, socket.AF_INET)[0][4][0])


def engine_sockets(host: Host) -> list[tuple[str, int]]:
    """Where the service's processes listen: address and port, IPv4 as `ss` writes it."""
    group = host.check_output(f"systemctl show --property=ControlGroup --value {SERVICE}")
    pids = set(host.check_output(f"cat /sys/fs/cgroup{group}/cgroup.procs").split())
    sockets = []
    for line in host.check_output("ss -Hltnp").splitlines():
        if pids & set(re.findall(r"\bpid=(\d+)\b", line)):
            address, _, port = line.split()[3].rpartition(":")
            sockets.append((address, int(port)))
    return sockets


def test_the_head_answered_and_every_member_knows(host: Host, members: list[Box]) -> None:
    """A member that waits for another has loaded nothing, and its unit is active all the same."""
    status = host.check_output(f"systemctl show --property=StatusText --value {SERVICE}")
    assert status.endswith(": serving"), (
        f"{SERVICE} says {status!r}; expected serving. Look at `journalctl -u {SERVICE}` on "
        f"{', '.join(box.name for box in members)}"
    )


def test_the_firewall_of_the_cell_is_loaded_and_comes_back_at_boot(
    host: Host, members: list[Box]
) -> None:
    """Whoever reaches the engine's ports can run code in it: it unpickles what arrives."""
    unit = host.service(FIREWALL)
    assert unit.is_enabled and unit.is_running, (
        f"{FIREWALL} is not enabled and active. Deploy again"
    )
    listed = json.loads(host.check_output("nft --json list set inet fortyninety_cell members"))
    (found,) = [each["set"] for each in listed["nftables"] if "set" in each]
    expected = {address_of(box) for box in members}
    assert set(_elements(found)) == expected, (
        f"the firewall lets {sorted(_elements(found))} in; expected {sorted(expected)}. "
        "Deploy to the whole cell"
    )


def _elements(found: dict[str, Any]) -> list[str]:
    """The single addresses of a set as nft prints it, with neighbours joined to ranges."""
    elements: list[str] = []
    for each in found.get("elem", []):
        assert isinstance(each, str), f"the firewall lets {each} in; expected single addresses"
        elements.append(each)
    return elements


def test_the_engine_listens_for_members_alone(
    host: Host, box: Box, members: list[Box], settings: Settings
) -> None:
    """Of its ports only the rendezvous is open on every address, which the firewall closes."""
    own = address_of(box)
    for address, port in engine_sockets(host):
        rendezvous = box == members[0] and port == settings.cell_port + 1
        assert address in (own, "127.0.0.1") or rendezvous or port == settings.port, (
            f"the engine listens on {address}:{port}; expected {own} or loopback"
        )


def test_who_is_not_a_member_reaches_none_of_the_engines_ports(
    host: Host, box: Box, settings: Settings, members: list[Box]
) -> None:
    """Asked from here, which is no member: by the cell's address, as a neighbour would."""
    own = address_of(box)
    ports = {port for address, port in engine_sockets(host) if address != "127.0.0.1"}
    assert ports, "the engine listens on no port at all"
    if settings.listen_address != "127.0.0.1":
        ports.discard(settings.port)
    for port in sorted(ports):
        with socket.socket() as connection:
            connection.settimeout(0.5)
            reached = connection.connect_ex((own, port)) == 0
        assert not reached, f"{own}:{port} answers somebody who is no member of the cell"
