"""One address for several boxes, over the end of an engine and of whole boxes, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import hosts, stages
from lab.hosts import LabHost
from tests.lab.converged_hosts import start_converged
from tests.lab.deploys import deploy, host_tests, write_inventory
from tests.lab.key_holder import KeyHolder, add_key, ask_over, failed
from tests.lab.port_scan import answering, answering_from, link_local

pytestmark = pytest.mark.lab

# Of the two or three boxes the last host of the lab is the front.
WITH_FRONT = """
from lab.inventory import inventory
hosts_ = inventory()
boxes = [(name, {{**data, "firewall": True}}) for name, data in hosts_[:-1]]
front = [(name, {{**data, "roles": ["gateway"], "firewall": True}}) for name, data in hosts_[-1:]]
del hosts_
"""
UNIT = "fortyninety-front.service"
FOLDER = "/etc/fortyninety/front"
KILL = "systemctl kill --kill-whom=main --signal=KILL vllm"
# Everything of a front on a host.
LEFT = (
    f"ls -d {FOLDER} /etc/systemd/system/{UNIT} /etc/systemd/system/*/{UNIT} "
    "/run/fortyninety-front 2>/dev/null"
)


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.exhaustive)])
def boxes(request: pytest.FixtureRequest, lab: None) -> Iterator[list[LabHost]]:
    """Hosts that serve."""
    del lab
    yield start_converged(request.param)
    hosts.down()


@pytest.fixture(scope="module")
def inventory(boxes: list[LabHost], tmp_path_factory: pytest.TempPathFactory) -> str:
    del boxes
    return write_inventory(tmp_path_factory.mktemp("front"), WITH_FRONT.format())


@pytest.fixture(scope="module")
def front(boxes: list[LabHost], inventory: str) -> LabHost:
    """A host without cards before them, and all of them deployed to."""
    found = hosts.up(len(boxes) + 1, cards="none")[-1]
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    return found


@pytest.fixture(scope="module")
def ada(boxes: list[LabHost], front: LabHost, inventory: str) -> KeyHolder:
    """Somebody with a key, who asks the front for the boxes' model."""
    authority = Path(inventory).with_name("lab.authority") / "authority.pem"
    secret = add_key(inventory, "ada", host=front.name)
    return KeyHolder(front, authority, secret, model=boxes[0].choice.model.repository)


def test_a_second_deploy_changes_nothing(front: LabHost, inventory: str) -> None:
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert front.ssh("ls /opt/fortyninety/engines/* /srv/models 2>/dev/null").stdout == ""
    found = host_tests("-k", "front or network or firewall", inventory=inventory)
    assert found.exit_code == 0, found.output


def test_every_box_is_asked(front: LabHost, ada: KeyHolder, boxes: list[LabHost]) -> None:
    for number in range(8 * len(boxes)):
        assert ada.complete(1, prompt=f"Prompt {number}").status_code == 200
    log = front.ssh(f"journalctl -u {UNIT} -o cat --no-pager", check=True).stdout
    assert all(f'"box":"{box.name}"' in log for box in boxes), log[-2000:]


@pytest.mark.parametrize(
    "how",
    [
        "killed",
        # A front sees as little of a box whose engine is gone; that box goes with its streams.
        pytest.param("cut", marks=pytest.mark.exhaustive),
        pytest.param("rebooted", marks=pytest.mark.exhaustive),
    ],
)
def test_no_request_is_lost_with_a_box(
    boxes: list[LabHost], front: LabHost, ada: KeyHolder, how: str
) -> None:
    ends: dict[str, Callable[[LabHost], object]] = {
        "killed": lambda box: box.ssh(KILL, check=True),
        "cut": LabHost.cut_power,
        "rebooted": lambda box: box.ssh("systemctl reboot"),
    }
    began = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_over, ada, 60, began, spread=True)
        assert began.wait(60)
        ends[how](boxes[-1])
        outcomes = asking.result()
    # What has begun cannot be sent again.
    outcomes = [each for each in outcomes if each.whole or not each.had_first_byte]
    assert failed(outcomes) == []
    if how == "cut":
        boxes[-1].start()
    wait_until_all_are_ready(front)


def test_nothing_else_is_reached(boxes: list[LabHost], front: LabHost) -> None:
    scan = front.ssh(
        f"for port in 22 443 8000 8404 8405 8443 8873; do timeout 2 bash -c "
        f"'</dev/tcp/{boxes[0].address}/'$port 2>/dev/null && echo $port; done; true"
    )
    assert scan.stdout.split() == ["22", "8443"]
    for port, is_open in ((22, True), (443, True), (8405, False), (8443, False)):
        assert reached(front, port) is is_open, port
    # Not from here, which is no front.
    assert not reached(boxes[0], 8443)


@pytest.mark.exhaustive  # minutes for all ports; the test above asks at those that a host has
def test_none_of_all_ports_answers_but_ssh_and_tls(boxes: list[LabHost], front: LabHost) -> None:
    box = boxes[0]
    # Of the fleet's own hosts the fronts reach the boxes' port for them, and no exchange of peers.
    for address in (box.address, link_local(box)):
        assert {22} < answering_from(front, address) <= {22, 8443}, address
    for address in (front.address, link_local(front)):
        assert answering_from(box, address) == {22, 443}, address
    assert answering(front) == {22, 443}
    assert answering(box) == {22}
    # A peer is let in at the exchange's port, at which nobody listens: that is an answer too.
    assert answering_from(boxes[1], box.address) == {22, 8873}


def test_what_is_broken_is_named_and_put_right(
    boxes: list[LabHost], front: LabHost, inventory: str, ada: KeyHolder
) -> None:
    last = boxes[-1].name
    front.ssh(f"sed -i '/server {last} /d; /server {last} .*track/d' {FOLDER}/haproxy.cfg")
    front.ssh(f"chmod 644 {FOLDER}/identity.pem", check=True)
    boxes[0].ssh(
        "sed -i 's/ verify required//' /etc/fortyninety/gateway/haproxy.cfg && "
        "systemctl reload fortyninety-gateway",
        check=True,
    )
    found = host_tests("-k", "front", inventory=inventory)
    names = ", ".join(box.name for box in boxes)
    for said in (f"expected {names}", "identity.pem", "to one without a certificate"):
        assert said in found.output, found.output
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    found = host_tests("-k", "front", inventory=inventory)
    assert found.exit_code == 0, found.output
    assert ada.complete().status_code == 200


@pytest.mark.exhaustive  # of a gateway's files tests/lab/test_gateway.py sees the same
def test_a_host_that_is_no_front_any_more_has_nothing_of_it(front: LabHost, inventory: str) -> None:
    ran = stages.fortyninety("reset", inventory, "--limit", front.name, "--yes", "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert front.ssh(LEFT).stdout == ""
    again = deploy(inventory=inventory)
    assert again.exit_code == 0, again.output


def reached(host: LabHost, port: int) -> bool:
    """Whether a port answers from here."""
    with socket.socket() as connection:
        connection.settimeout(2)
        return connection.connect_ex((host.address, port)) == 0


def wait_until_all_are_ready(front: LabHost) -> None:
    """Wait until the front says that every box is ready again."""
    ask = (
        "python3 -c 'import socket;c=socket.socket(socket.AF_UNIX);"
        'c.connect("/run/fortyninety-front/control.sock");'
        'c.sendall(b"show stat boxes 4 -1\\n");print(c.makefile().read())\''
    )
    deadline = time.monotonic() + 300
    while True:
        rows = front.ssh(ask, check=True).stdout.splitlines()
        states = [row.split(",")[17] for row in rows if row.startswith("boxes,lab")]
        if states and all(each.startswith("UP") for each in states):
            return
        assert time.monotonic() < deadline, states
        time.sleep(1)
