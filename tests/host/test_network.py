"""Who can reach what on the host."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.inventory_bridge import Box
from tests.host.live_process import LiveProcess

LOOPBACK = re.compile(r"127\.|\[?::1\]?$|\[?::ffff:127\.|.*%lo$")
# What may listen on every host, by the program's name: SSH, name lookup, address, clock.
USUAL = {
    "sshd",
    "systemd-resolve",
    "systemd-network",
    "systemd-timesyn",
    "dhclient",
    "dhcpcd",
    "chronyd",
    "ntpd",
    "NetworkManager",
}


@dataclass(frozen=True)
class Listener:
    """A socket that takes what comes: where, and whose."""

    protocol: str
    address: str
    port: int
    programs: frozenset[str]
    pids: frozenset[int]

    def __str__(self) -> str:
        who = ", ".join(sorted(self.programs)) or "the kernel"
        return f"{self.address}:{self.port}/{self.protocol} ({who})"


@pytest.fixture(scope="session")
def listeners(host: Host) -> list[Listener]:
    """Every socket that listens, on any interface."""
    found = []
    for line in host.check_output(
        "ss --no-header --listening --tcp --udp --numeric -p"
    ).splitlines():
        words = line.split()
        address, _, port = words[4].rpartition(":")
        found.append(
            Listener(
                words[0],
                address,
                int(port),
                frozenset(re.findall(r'\("([^"]+)"', line)),
                frozenset(int(pid) for pid in re.findall(r"\bpid=(\d+)", line)),
            )
        )
    return found


def test_nothing_listens_that_should_not(
    host: Host,
    box: Box,
    settings: Settings,
    listeners: list[Listener],
    process: LiveProcess,
    *,
    fronts: list[Box],
) -> None:
    """A port that nobody meant to open is the one that is found first."""
    of_haproxy = {settings.gateway_port} if settings.gateway or settings.is_front else set()
    of_haproxy |= {settings.gateway_fronts_port} if fronts else set()
    of_haproxy |= {settings.signals_port} if settings.signals_port else set()
    ssh = {int(each) for each in re.findall(r"^port (\d+)$", host.run("sshd -T").stdout, re.M)}
    ssh |= {int(box.data.get("ssh_port") or 22)}

    on_loopback = {settings.signals_exporter_port} if settings.signals else set()
    if settings.is_monitor:
        on_loopback |= {settings.monitor_port, settings.monitor_alerts_port}

    def expected(each: Listener) -> bool:
        if each.port in settings.other_listening_ports or (
            each.port in on_loopback and LOOPBACK.match(each.address)
        ):
            return True
        if of_haproxy and each.programs == {"haproxy"}:
            return each.port in of_haproxy or bool(LOOPBACK.match(each.address))
        if each.programs and each.programs <= USUAL:
            return True
        # A socket unit holds SSH's port, where SSH is started on demand.
        if each.programs == {"systemd"} and each.port in ssh and each.protocol == "tcp":
            return True
        if each.pids and each.pids <= process.pids:
            # In a cell the engine's ports are closed by its firewall (test_cell.py).
            own = each.port == settings.port or bool(LOOPBACK.match(each.address))
            return own or settings.cell is not None
        return False

    strangers = [str(each) for each in listeners if not expected(each)]
    assert not strangers, (
        f"{'; '.join(strangers)} listens; expected SSH, engine and gateway alone. End it, or "
        "name its port in other_listening_ports if it belongs there"
    )


def test_the_engine_is_not_reached_from_here(box: Box, settings: Settings) -> None:
    """Whoever reaches the engine uses it: it asks nobody who he is."""
    if settings.listen_address != "127.0.0.1":
        return
    with socket.socket() as connection:
        connection.settimeout(1)
        try:
            reached = connection.connect_ex((box.address, settings.port)) == 0
        except OSError:
            reached = False  # A name that only SSH's configuration knows: not reached from here.
    assert not reached, (
        f"{box.address}:{settings.port} answers from here; expected it on the host's loopback "
        "alone. Look with `ss -ltnp` who listens or forwards there"
    )


def test_the_host_forwards_nothing_to_the_engine(host: Host, settings: Settings) -> None:
    """A rule that forwards a port to loopback opens what listens there alone."""
    rules = host.run("nft list ruleset 2>/dev/null; iptables-save 2>/dev/null").stdout
    found = [
        line.strip()
        for line in rules.splitlines()
        if re.search(rf"(dnat|DNAT|redirect|REDIRECT)\b.*\b{settings.port}\b", line)
    ]
    local = host.run("sysctl -n net.ipv4.conf.all.route_localnet").stdout.strip()
    assert not found, (
        f"a rule of the firewall forwards to the engine: {found[0]}; expected none. Remove it "
        f"(route_localnet is {local})"
    )
