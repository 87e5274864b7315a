"""Cells: who is in, what is refused, and what a member's unit and firewall say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fortyninety.cell.firewall import firewall_unit, rules, rules_digest
from fortyninety.cell.membership import (
    Membership,
    cell_problems,
    member_problems,
    membership,
    named_cell,
)
from fortyninety.plan.paths import CELL_FIREWALL_RULES, SERVICE
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.plan.unit import configuration, service_unit
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from tests.unit.readings import RTX_4090, bare_host, settings

CELL = {"cell": "a", "engine": "0.32.0", "driver_branch": 580}
ADDRESSES = {"box1": "192.0.2.1", "box2": "192.0.2.2", "box3": "192.0.2.3"}


def cell_of(*changes: dict[str, Any]) -> dict[str, Settings]:
    """Settings of box1, box2 and so on: one for each of `changes` to those of a cell's member."""
    return {
        f"box{number}": settings(**{**CELL, **each}) for number, each in enumerate(changes, start=1)
    }


def problems(members: dict[str, Settings], **addresses: str | None) -> list[str]:
    return [str(each) for each in cell_problems(members, {**ADDRESSES, **addresses})]


def place(rank: int, size: int = 2) -> Membership:
    return Membership("a", tuple(ADDRESSES.values())[:size], rank, 29500)


def plan(rank: int, **changes: Any) -> Plan:
    own = settings(**{**CELL, **changes})
    reading = bare_host(
        cards__devices=[RTX_4090],
        network__addresses={f"192.0.2.{rank + 1}": "eth0", "10.0.0.9": "eth1"},
    )
    return make_plan(own, load_release(own.engine), reading, place(rank))


def words(unit: str) -> list[str]:
    (line,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    return shlex.split(line.replace("\\\n", " "))


# --- Who is in ------------------------------------------------------------------------------------


def test_members_are_ranked_in_the_inventorys_order_and_the_first_is_the_head() -> None:
    hosts = {"box3": settings(**CELL), "other": settings(), "box1": settings(**CELL)}
    first, second = (membership(name, hosts, ADDRESSES) for name in ("box3", "box1"))
    assert first is not None and second is not None
    assert (first.rank, first.is_head, first.own_address) == (0, True, "192.0.2.3")
    assert (second.rank, second.is_head, second.head_address) == (1, False, "192.0.2.3")
    assert membership("other", hosts, ADDRESSES) is None


def test_two_cells_of_one_inventory_are_two() -> None:
    hosts = {name: settings(**{**CELL, "cell": name[-1]}) for name in ("box1", "box2")}
    own = membership("box2", hosts, ADDRESSES)
    assert own is not None and (own.rank, own.addresses) == (0, ("192.0.2.2",))


@pytest.mark.parametrize("cell", [["a"], {"a": 1}, 7, True, "", None])
def test_what_is_no_name_of_a_cell_is_no_cell_and_a_problem_of_its_own(cell: Any) -> None:
    assert named_cell({"cell": cell}) is None
    assert named_cell({"cell": "a"}) == "a"


def test_the_head_alone_answers_and_a_member_may_be_restarted_before_it_does() -> None:
    alone = make_plan(settings(), load_release(settings().engine), bare_host())
    found = [(each.headless, each.restarts) for each in (plan(0), plan(1), alone)]
    assert found == [(False, 3), (True, 3), (False, 0)]


# --- Refused --------------------------------------------------------------------------------------


def test_a_right_cell_has_no_problem() -> None:
    assert problems(cell_of({}, {}, {})) == []


def test_a_cell_of_one_member_is_refused() -> None:
    (problem,) = problems(cell_of({}))
    assert "box1: cell is 'a', which has no other member; expected two members" in problem


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "0.32.0-cpu"}, "engine is '0.32.0-cpu'; expected '0.32.0' as on box1"),
        ({"model_revision": "0" * 40}, "model_revision is '000"),
        ({"max_num_seqs": 1}, "max_num_seqs is 1; expected 4 as on box1, the head of cell a"),
        ({"profile": "burst"}, "max_model_len is 8192; expected 16384"),
        ({"cell_port": 29600}, "cell_port is 29600; expected 29500"),
        ({"engine_arguments": ["--seed", "1"]}, "engine_arguments is ['--seed', '1']; expected []"),
    ],
)
def test_members_must_be_alike_in_all_that_shapes_the_engine(
    changes: dict[str, Any], message: str
) -> None:
    found = problems(cell_of({}, changes))
    assert any(f"box2: {message}" in each for each in found), found


def test_what_is_a_boxs_own_may_differ() -> None:
    own = {"power_limit": 350, "models_directory": "/data/models", "allow_non_nvme": True}
    assert problems(cell_of({}, own)) == []


def test_a_release_that_cannot_is_refused_with_those_that_can() -> None:
    first, second = problems(cell_of(*[{"engine": "0.8.5.post1"}] * 2))
    assert first.startswith("box1: engine is '0.8.5.post1'; expected one that serves from several")
    assert "0.32.0" in first and "0.6.3" not in first
    assert second.startswith("box2: ")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, "ssh_hostname is the host's name, which cannot be resolved"),
        ("127.0.1.1", "ssh_hostname is 127.0.1.1; expected an address that other hosts can reach"),
        ("192.0.2.1", "ssh_hostname is 192.0.2.1, as another member's"),
    ],
)
def test_an_address_that_the_others_cannot_use_is_refused(
    address: str | None, message: str
) -> None:
    found = problems(cell_of({}, {}), box2=address)
    assert any(f"box2: {message}" in each for each in found), found


def test_a_flag_that_the_cell_sets_is_refused() -> None:
    first, second = problems(cell_of(*[{"engine_arguments": ["--nnodes=3"]}] * 2))
    assert first.startswith("box1: engine_arguments is with --nnodes=3")
    assert second.startswith("box2: ")


def test_every_reason_is_said_at_once() -> None:
    found = problems(cell_of({}, {"engine": "0.8.5.post1", "max_num_seqs": 1}), box2=None)
    assert len(found) == 4


def test_an_address_that_the_host_does_not_have_is_refused() -> None:
    reading = bare_host(network__addresses={"10.0.0.2": "eth0"})
    (problem,) = member_problems("box2", place(1), reading, 1)
    assert "box2: cell_address is 192.0.2.2; expected one of the host's own: 10.0.0.2 (eth0)" in (
        str(problem)
    )


def test_a_box_of_a_cell_has_one_card() -> None:
    reading = bare_host(network__addresses={"192.0.2.2": "eth0"})
    (problem,) = member_problems("box2", place(1), reading, 2)
    assert "tensor_parallel_size is 2; expected 1 in cell a" in str(problem)


# --- The unit -------------------------------------------------------------------------------------


def test_each_member_runs_its_part_of_one_engine() -> None:
    for rank in (0, 1):
        arguments = words(service_unit(plan(rank)))
        engine = arguments[arguments.index("--") + 1 :]
        assert engine[0].endswith("/bin/vllm") and engine[1] == "serve"
        for flag, value in {
            "--pipeline-parallel-size": "2",
            "--nnodes": "2",
            "--node-rank": str(rank),
            "--master-addr": "192.0.2.1",
            "--master-port": "29501",
            "--tensor-parallel-size": "1",
        }.items():
            assert engine[engine.index(flag) + 1] == value
        assert ("--headless" in engine) == (rank == 1)


def test_each_member_is_reached_at_its_own_address_and_interface() -> None:
    environment = dict(plan(1).environment)
    assert environment["VLLM_HOST_IP"] == "192.0.2.2"
    assert environment["GLOO_SOCKET_IFNAME"] == environment["NCCL_SOCKET_IFNAME"] == "eth0"


def test_each_member_has_packets_of_the_members_alone() -> None:
    unit = service_unit(plan(1))
    assert "\nIPAddressDeny=any\nIPAddressAllow=localhost 192.0.2.1 192.0.2.2\n" in unit


def test_the_cpu_engine_has_an_entry_of_its_own_for_the_headless() -> None:
    head, other = (words(service_unit(plan(rank, engine="0.32.0-cpu"))) for rank in (0, 1))
    assert "vllm.entrypoints.openai.api_server" in head
    assert "vllm.entrypoints.openai.api_server" not in other
    for arguments in (head, other):
        assert "--enforce-eager" not in arguments and "-cc.mode=1" in arguments


def test_members_agree_before_they_start_and_a_change_to_any_of_it_is_another_digest() -> None:
    assert plan(0).cell_digest == plan(1).cell_digest
    assert plan(0).cell_digest == plan(1, models_directory="/data/models").cell_digest
    assert plan(0).cell_digest != plan(0, max_num_seqs=1).cell_digest
    assert configuration(plan(0)) != configuration(plan(1))


def test_a_cells_engine_never_runs_without_the_firewall_nor_is_given_up() -> None:
    unit = service_unit(plan(1))
    assert "\nRequires=fortyninety-cell-firewall.service\n" in unit
    assert "\nAfter=fortyninety-cell-firewall.service\n" in unit
    assert "\nStartLimitIntervalSec=0\n" in unit
    alone = settings()
    unit = service_unit(make_plan(alone, load_release(alone.engine), bare_host()))
    assert "fortyninety-cell" not in unit and "\nStartLimitIntervalSec=0\n" in unit


# --- The firewall ---------------------------------------------------------------------------------


def in_a_network_of_its_own(script: str) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        ["unshare", "--net", "bash", "-c", script], capture_output=True, text=True, check=False
    )
    if "unshare failed" in ran.stderr:
        pytest.skip("needs root")
    return ran


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
def test_nft_takes_the_rules_twice_and_leaves_others_alone() -> None:
    text = rules(place(0), user="nobody", api_port=8000)
    loaded = in_a_network_of_its_own(
        "nft add table inet others && nft -f - <<'EOF' && nft -f - <<'EOF2' && nft list ruleset\n"
        f"{text}EOF\n{text}EOF2\n"
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.count("table inet") == 2 and "table inet others" in loaded.stdout
    assert "192.0.2.1, 192.0.2.2" in loaded.stdout
    digest = rules_digest(place(0), user="nobody", api_port=8000)
    assert f'comment "{digest}"' in loaded.stdout


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
@pytest.mark.parametrize(
    ("account", "listener", "neighbour", "expected"),
    [
        # Root's, as SSH's is: whoever the rules are for, and whoever asks.
        ("root", "0", "192.0.2.99", "reached"),
        # The engine's: for members alone.
        ("nobody", "65534", "192.0.2.99", "closed"),
        ("nobody", "65534", "192.0.2.2", "reached"),
    ],
)
def test_the_firewall_never_closes_what_root_listens_on(
    tmp_path: Path, account: str, listener: str, neighbour: str, expected: str
) -> None:
    """Two network namespaces, one cable: a neighbour asks for a port of the host."""
    loaded = tmp_path / "rules.nft"
    loaded.write_text(rules(place(0), user=account, api_port=8000))
    serve = (
        f"import os, socket; os.setresuid({listener}, {listener}, {listener})\n"
        "s = socket.create_server(('0.0.0.0', 2222)); print('up', flush=True)\n"
        "while True: s.accept()[0].sendall(b'x')"
    )
    ask = (
        # The kernel takes a connection at once, and the listener may wait for a core.
        "import socket; s = socket.create_connection(('192.0.2.1', 2222), 1); s.settimeout(50)\n"
        "assert s.recv(1) == b'x'"
    )
    ran = in_a_network_of_its_own(
        f"""
        set -e
        unshare --net sleep 60 & other=$!
        trap 'kill $other $server 2>/dev/null' EXIT
        until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]
        do sleep 0.01; done
        ip link add here type veth peer name there
        ip link set there netns $other
        ip address add 192.0.2.1/24 dev here
        ip link set here up
        nsenter --net=/proc/$other/ns/net ip address add {neighbour}/24 dev there
        nsenter --net=/proc/$other/ns/net ip link set there up
        nft --file {loaded}
        exec 3< <(exec python3 -c "{serve}")
        server=$!
        read -r -u 3 up
        ! nsenter --net=/proc/$other/ns/net python3 -c "{ask}" || {{ echo reached; exit; }}
        echo closed
        """
    )
    assert ran.stdout == f"{expected}\n", ran.stderr


def test_other_members_are_other_rules() -> None:
    two, three = (rules_digest(place(0, size=size), user="vllm", api_port=8000) for size in (2, 3))
    assert two != three


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_firewalls_unit(tmp_path: Any) -> None:
    path = tmp_path / "fortyninety-cell-firewall.service"
    text = firewall_unit(place(0), service=SERVICE, rules=CELL_FIREWALL_RULES)
    path.write_text(text.replace("/usr/sbin/nft", "/bin/true"))
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in checked.stderr, checked.stderr
