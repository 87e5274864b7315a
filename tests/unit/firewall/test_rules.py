"""Who a firewall lets in: by its text, by nft, and by packets of a neighbour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fortyninety.cell.membership import Membership
from fortyninety.firewall.questions import firewall_problems, others_in_words
from fortyninety.firewall.rules import Firewall, firewall_of
from fortyninety.plan.plan import make_plan
from fortyninety.releases.release import load_release
from fortyninety.survey.reading import FirewallReading
from tests.unit.firewall.namespaces import alone, needs_nft
from tests.unit.readings import bare_host, settings

CELL = Membership("a", ("192.0.2.1", "192.0.2.2"), 0, 29500)


def made(
    cell: Membership | None = None,
    ports: tuple[int, ...] = (2222,),
    peers: tuple[str, ...] = (),
    **own: Any,
) -> Firewall:
    reading = bare_host(firewall=FirewallReading(ssh_ports=ports))
    found = firewall_of(settings(firewall=True, **own), reading, cell, peers=peers)
    assert found is not None
    return found


def accepts(firewall: Firewall) -> list[str]:
    """The rules that name ports."""
    return [line.strip() for line in firewall.rules.splitlines() if "dport {" in line]


def test_there_is_none_unless_it_is_asked_for() -> None:
    reading = bare_host(firewall=FirewallReading(ssh_ports=(22,)))
    plan = make_plan(settings(), load_release("0.8.5.post1"), reading)
    assert (plan.firewall, plan.firewall_packages) == (None, ())


def test_ssh_is_let_in_at_every_port_of_its_server() -> None:
    assert accepts(made(ports=(22, 2222))) == ["tcp dport { 22, 2222 } accept"]


def test_peers_and_nobody_else_are_let_in_where_the_model_is_handed_on() -> None:
    assert accepts(made(peers=("192.0.2.2", "2001:db8::2"))) == [
        "tcp dport { 2222 } accept",
        "ip saddr { 192.0.2.2/32 } tcp dport { 8873 } accept",
        "ip6 saddr { 2001:db8::2/128 } tcp dport { 8873 } accept",
    ]
    assert "8873" not in made(peers=("192.0.2.2",), snapshot_peers=False).rules
    assert "8873" not in made(peers=("192.0.2.2",), roles=["gateway"]).rules
    assert "8873" not in made().rules


def test_allowed_networks_are_for_ssh_alone_and_one_may_hold_another() -> None:
    networks = ["192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "2001:db8:1::/48"]
    assert accepts(made(allowed_networks=networks)) == [
        "ip saddr { 192.0.2.0/24 } tcp dport { 2222 } accept",
        "ip6 saddr { 2001:db8::/32 } tcp dport { 2222 } accept",
    ]


def test_the_port_of_the_engine_is_not_let_in_even_where_it_listens_everywhere() -> None:
    """It asks nobody who he is."""
    assert "8000" not in made(listen_address="0.0.0.0").rules


def test_other_rules_have_another_digest() -> None:
    digests = {
        made().digest,
        made(other_listening_ports=[9100]).digest,
        made(allowed_networks=["192.0.2.0/24"]).digest,
        made(CELL).digest,
    }
    assert len(digests) == 4
    assert made(other_listening_ports=[9100, 53]) == made(other_listening_ports=[53, 9100, 53])


@needs_nft
def test_nft_takes_them_again_and_again_and_others_stay(tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    everything = made(
        CELL,
        peers=("192.0.2.2", "2001:db8::2"),
        allowed_networks=["192.0.2.0/24", "192.0.2.7", "2001:db8::/32"],
        other_listening_ports=[9100],
    )
    rules.write_text(everything.rules)
    listed = alone(f"nft add table inet others; nft -f {rules}; nft -f {rules}; nft list ruleset")
    assert listed.count("table inet fortyninety_firewall") == 1
    assert "table inet others" in listed and f'comment "{everything.digest}"' in listed


# Listens on three ports; then what a neighbour meets at each of them, and whether he may ping.
PACKETS = """
unshare --net sleep 60 & other=$!
trap 'kill $other $server 2>/dev/null' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
there() { nsenter --net=/proc/$other/ns/net "$@"; }
ip link set lo up
ip link add here type veth peer name there
ip link set there netns $other
for address in 192.0.2.1/24 2001:db8::1/64; do ip address add $address dev here nodad; done
ip link set here up
for address in NEIGHBOUR; do there ip address add $address dev there nodad; done
there ip link set there up
nft --file RULES
mkfifo /run/up
python3 -c "
import socket, time
taken = [socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True)
    for port in (2222, 8000, 9100)]
print('up', flush=True); time.sleep(60)" >/run/up & server=$!
read -r up </run/up
for address in 192.0.2.1 2001:db8::1; do there python3 - $address <<'END'
import socket, sys
met = []
for port in (2222, 8000, 9100, 7):
    try:
        socket.create_connection((sys.argv[1], port), 0.5)
        met.append(f'{port} open')
    except ConnectionRefusedError:
        met.append(f'{port} refused')
    except TimeoutError:
        pass
print(*met, sep=', ')
END
done
"""


@needs_nft
@pytest.mark.parametrize(
    ("own", "cell", "neighbour", "met"),
    [
        ({}, None, "192.0.2.9/24 2001:db8::9/64", ["2222 open"] * 2),
        (
            {"other_listening_ports": [9100]},
            None,
            "192.0.2.9/24 2001:db8::9/64",
            ["2222 open, 9100 open"] * 2,
        ),
        (
            {"allowed_networks": ["192.0.2.8/29", "2001:db8::8/125"]},
            None,
            "192.0.2.9/24 2001:db8::9/64",
            ["2222 open"] * 2,
        ),
        (
            {"allowed_networks": ["192.0.2.8/29", "2001:db8::8/125"]},
            None,
            "192.0.2.99/24 2001:db8::99/64",
            [""] * 2,
        ),
        # Peers, one of IPv4 and another of IPv6, at the exchange's port; here it is 9100.
        (
            {"peers": ("192.0.2.9", "2001:db8::8"), "peer_port": 9100},
            None,
            "192.0.2.9/24 2001:db8::9/64",
            ["2222 open, 9100 open", "2222 open"],
        ),
        (
            {"peers": ("192.0.2.9", "2001:db8::9"), "peer_port": 9100},
            None,
            "192.0.2.8/24 2001:db8::9/64",
            ["2222 open", "2222 open, 9100 open"],
        ),
        # A member of the cell, by its IPv4 address.
        (
            {},
            CELL,
            "192.0.2.2/24 2001:db8::9/64",
            ["2222 open, 8000 open, 9100 open, 7 refused", "2222 open"],
        ),
    ],
)
def test_a_neighbour_meets_what_is_named_and_nothing_else(
    tmp_path: Path, own: dict[str, Any], cell: Membership | None, neighbour: str, met: list[str]
) -> None:
    """Two networks, one cable, IPv4 and IPv6: so are neighbours found and replies let in."""
    rules = tmp_path / "rules.nft"
    rules.write_text(made(cell, **own).rules)
    script = PACKETS.replace("RULES", str(rules)).replace("NEIGHBOUR", neighbour)
    assert alone(script).splitlines() == met


# --- Refused before anything is changed ----------------------------------------------------------


def problems(came_from: str | None, *networks: str, **reading: Any) -> list[str]:
    own = settings(firewall=True, allowed_networks=list(networks))
    found = FirewallReading(**{"ssh_ports": (22,), "came_from": came_from, **reading})
    return [str(each) for each in firewall_problems("box1", own, bare_host(firewall=found))]


@pytest.mark.parametrize(
    ("came_from", "network"),
    [
        ("192.0.2.7", "198.51.100.0/24"),
        ("2001:db8::7", "192.0.2.0/24"),
        ("192.0.2.7", "2001:db8::/32"),
        ("2001:db8::7", "2001:db9::/32"),
    ],
)
def test_networks_without_who_asks_for_them_are_refused(came_from: str, network: str) -> None:
    (problem,) = problems(came_from, network)
    assert problem.startswith(
        f"box1: allowed_networks is without {came_from}, from which this deploy comes"
    )


def test_networks_with_who_asks_for_them_are_taken() -> None:
    assert problems("192.0.2.7", "198.51.100.0/24", "192.0.2.0/24") == []
    assert problems("2001:db8::7", "2001:db8::/32") == []
    assert problems("192.0.2.7") == []
    assert problems(None, "198.51.100.0/24") == []


def test_a_host_without_a_known_port_of_ssh_is_refused() -> None:
    (problem,) = problems("192.0.2.7", ssh_ports=())
    assert "no port at which SSH listens" in problem


def test_nothing_is_asked_where_no_firewall_is_wanted() -> None:
    own = settings(allowed_networks=["198.51.100.0/24"])
    reading = bare_host(firewall=FirewallReading(came_from="192.0.2.7"))
    assert list(firewall_problems("box1", own, reading)) == []


def test_what_else_filters_is_named() -> None:
    assert others_in_words(bare_host()) is None
    line = others_in_words(bare_host(firewall=FirewallReading(others=("ufw", "table ip nat"))))
    assert line is not None and "there are ufw, table ip nat." in line
