"""An address that fronts share: one of them has it, and another can take it."""

from __future__ import annotations

import re
from ipaddress import ip_interface

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.conftest import FLEET
from tests.host.inventory_bridge import Box, connected

UNIT = "fortyninety-virtual-address.service"
CONFIGURATION = "/etc/fortyninety/virtual-address/keepalived.conf"
LOADED = "/run/fortyninety-virtual-address/loaded"
# CAP_SETGID, CAP_SETUID, CAP_NET_ADMIN and CAP_NET_RAW of capabilities(7).
CAPABILITIES = 1 << 6 | 1 << 7 | 1 << 12 | 1 << 13


@pytest.fixture(scope="session")
def address(settings: Settings) -> str:
    """The address without its prefix."""
    return str(ip_interface(settings.virtual_address or "").ip)


@pytest.fixture(scope="session")
def fronts(box: Box, address: str, request: pytest.FixtureRequest) -> list[Box]:
    """Every front of the address that can be looked at, and this one."""
    fleet = request.config.stash[FLEET]
    return [
        each
        for each in fleet.everyone
        if each.name not in fleet.unreachable
        and (each.name == box.name or _address_of(each) == address)
    ]


def _address_of(box: Box) -> str | None:
    shared = box.data.get("virtual_address")
    return str(ip_interface(shared).ip) if isinstance(shared, str) else None


def _has(box: Box, address: str) -> bool:
    with connected(box) as host:
        listed = host.check_output("ip -o address show")
    return re.search(rf"\s{re.escape(address)}/", listed) is not None


def test_exactly_one_front_has_the_address(fronts: list[Box], address: str) -> None:
    """With none of them nobody is let in; with two, each packet goes to either of them."""
    holders = [each.name for each in fronts if _has(each, address)]
    assert len(holders) == 1, (
        f"{' and '.join(holders) or 'no front'} of {', '.join(each.name for each in fronts)} has "
        f"{address}; expected one. `journalctl -u {UNIT}` on each says why: whether it hears the "
        "others (VRRP, IP protocol 112, must get through between them), and what it is to itself"
    )


def test_keepalived_runs_and_comes_back_at_boot(host: Host) -> None:
    """A front without it takes nothing over, and keeps nobody from noticing."""
    unit = host.service(UNIT)
    assert unit.is_enabled and unit.is_running, (
        f"{UNIT} is {'active' if unit.is_running else 'not active'} and "
        f"{'enabled' if unit.is_enabled else 'not enabled'}; expected both. Deploy again, and look "
        f"at `journalctl -u {UNIT}`"
    )


def test_it_has_in_force_what_is_on_disk(host: Host) -> None:
    """What it knows of the other fronts would be another at the next boot."""
    on_disk = host.run(f"sha256sum <{CONFIGURATION}").stdout
    loaded = host.run(f"cat {LOADED}").stdout
    assert on_disk and on_disk == loaded, (
        f"{UNIT} has not loaded what is in {CONFIGURATION}; expected the same. Deploy again"
    )


def test_the_front_can_take_the_address(host: Host, settings: Settings) -> None:
    """Where the other front dies, nobody takes over."""
    script = f"{settings.install_directory}/bin/front-ready"
    wrong = [
        question
        for question in ("alive", "ready")
        if host.run(f"runuser -u nobody -- {script} {question} {_status_port(host)}").rc != 0
    ]
    assert not wrong, (
        f"the front is not {' and not '.join(wrong)} by its own status port; expected alive and "
        "ready. Look at its unit, and at whether its boxes answer"
    )


def _status_port(host: Host) -> str:
    found = re.search(r'alive ([0-9]{1,5})"', host.run(f"cat {CONFIGURATION}").stdout)
    return found[1] if found else "0"


def test_it_may_do_no_more_than_give_addresses(host: Host) -> None:
    """It runs as root, and hears packets from the network."""
    processes = host.check_output(f"cat /sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").split()
    assert processes, f"{UNIT} has no process; expected keepalived's. Deploy again"
    for process in processes:
        status = host.run(f"cat /proc/{process}/status").stdout
        found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
        if found is None:  # The script has ended.
            continue
        assert int(found[1], 16) & ~CAPABILITIES == 0, (
            f"process {process} of {UNIT} has the capabilities {found[1]}; expected at most "
            f"{CAPABILITIES:016x}. Look at `systemctl cat {UNIT}`, and deploy again"
        )
