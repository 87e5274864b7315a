"""Two fronts that share an address: the one that has it dies in each way, and the other serves."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from lab import hosts, stages
from lab.hosts import LabHost
from lab.network import bridge
from tests.lab.converged_hosts import ONE_CARD, start_converged
from tests.lab.deploys import deploy, host_tests, write_inventory

# In CI its parts are kept by tests/unit/gateway/test_shared_address.py and test_surroundings.py,
# and tests/unit/plan/test_virtual_address.py.
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive, pytest.mark.usefixtures("lab")]

ADDRESS = "10.90.0.200"
INVENTORY = f"""
from lab.inventory import inventory
front = {{"roles": ["gateway"], "virtual_address": "{ADDRESS}/24", "firewall": True}}
lab = [(name, {{**data, **(front if name != "lab1" else {{}})}}) for name, data in inventory()]
"""
TAKEN = INVENTORY.replace(ADDRESS, "10.90.0.1")
WITHOUT = """
from lab.inventory import inventory
lab = [
    (name, {**data, **({"roles": ["gateway"]} if name != "lab1" else {})})
    for name, data in inventory()
]
"""
UNIT = "fortyninety-virtual-address.service"
FRONT = "fortyninety-front.service"
CONFIGURATION = "/etc/fortyninety/virtual-address/keepalived.conf"
# Seconds without an answer that a client may see, and that a front has to take over.
LONGEST = 3.0
PATIENCE = 60.0


@pytest.fixture(scope="module")
def fronts(lab: None) -> list[LabHost]:
    """Two hosts without cards, beside a box that serves."""
    del lab
    start_converged(1)
    cards = (ONE_CARD, "none", "none")
    return hosts.up(3, cards=cards)[1:]


@pytest.fixture(scope="module")
def inventory(fronts: list[LabHost], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The inventory that they were deployed by."""
    del fronts
    written = write_inventory(tmp_path_factory.mktemp("address"), INVENTORY)
    ran = deploy(inventory=written)
    assert ran.exit_code == 0, ran.output
    return written


@dataclass
class Asking:
    """Somebody who asks for the models each 50 ms, by a connection and a verification of its own.

    `failed` are the moments at which what failed had begun, `last` that of the last one that did
    not.
    """

    believed: ssl.SSLContext
    secret: str
    failed: list[float] = field(default_factory=list)
    last: float = 0.0

    def once(self) -> None:
        began = time.monotonic()
        try:
            answer = httpx.get(
                f"https://{ADDRESS}/v1/models",
                verify=self.believed,
                timeout=0.5,
                headers={"Authorization": f"Bearer {self.secret}"},
            )
            answer.raise_for_status()
            self.last = max(self.last, began)
        except httpx.HTTPError:
            self.failed.append(began)

    @property
    def seconds_without(self) -> float:
        """From the first that failed to the first from which on all succeeded."""
        return max(self.failed) - min(self.failed) if self.failed else 0.0

    @contextmanager
    def going_on(self) -> Iterator[None]:
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(0.05):
                threading.Thread(target=self.once, daemon=True).start()

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        try:
            yield
        finally:
            stop.set()
            asking.join()


@pytest.fixture(scope="module")
def asking(inventory: str) -> Callable[[], Asking]:
    """Who has a key and believes the fleet's authority, and asks the shared address."""
    authority = Path(inventory).with_name("lab.authority") / "authority.pem"
    ran = stages.fortyninety(
        *("key", "add", inventory, "ada", "--tenant", "lab"),
        *("--requests-per-minute", "10000", "--concurrent", "64"),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    believed = ssl.create_default_context(cafile=str(authority))
    return lambda: Asking(believed, ran.stdout.strip())


def holders(fronts: list[LabHost]) -> list[LabHost]:
    return [each for each in fronts if f" {ADDRESS}/" in each.ssh("ip -o address").stdout]


def wait_for(fronts: list[LabHost], wanted: Callable[[list[LabHost]], bool]) -> list[LabHost]:
    """The hosts that have the address, once that is so."""
    deadline = time.monotonic() + PATIENCE
    while not wanted(found := holders(fronts)):
        assert time.monotonic() < deadline, [each.name for each in found]
        time.sleep(0.2)
    return found


def test_one_front_has_the_address_and_a_second_deploy_changes_nothing(
    fronts: list[LabHost], inventory: str, asking: Callable[[], Asking]
) -> None:
    wait_for(fronts, lambda found: len(found) == 1)
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    one = asking()
    one.once()
    assert one.failed == []
    ran = host_tests("-k", "test_address", inventory=inventory)
    assert ran.exit_code == 0, ran.output


def cut_network(host: LabHost) -> None:
    subprocess.run(["ip", "link", "set", bridge.link_name(host.name), "down"], check=True)


def mend_network(host: LabHost) -> None:
    subprocess.run(["ip", "link", "set", bridge.link_name(host.name), "up"], check=True)


DEATHS: dict[str, tuple[Callable[[LabHost], object], Callable[[LabHost], object]]] = {
    "its HAProxy is killed and stays dead": (
        lambda host: host.ssh(f"systemctl kill -s KILL {FRONT}; systemctl stop {FRONT}"),
        lambda host: host.ssh(f"systemctl start {FRONT}", check=True),
    ),
    "its keepalived is killed": (
        lambda host: host.ssh(f"systemctl kill -s KILL {UNIT}"),
        lambda host: None,
    ),
    "it loses power": (lambda host: host.cut_power(), lambda host: host.start()),
    "its network is cut": (cut_network, mend_network),
}


@pytest.mark.parametrize("death", DEATHS)
def test_another_front_takes_the_address(
    fronts: list[LabHost], asking: Callable[[], Asking], death: str
) -> None:
    (active,) = wait_for(fronts, lambda found: len(found) == 1)
    (other,) = (each for each in fronts if each is not active)
    die, mend = DEATHS[death]
    client = asking()
    with client.going_on():
        die(active)
        wait_for([other], lambda found: found == [other])
        time.sleep(LONGEST)
    mend(active)
    assert client.seconds_without < LONGEST
    assert client.last > max(client.failed, default=0.0)
    # One that comes back takes nothing from one that serves, and no two have it for long.
    wait_for(fronts, lambda found: len(found) == 1)


def test_what_goes_wrong_is_named_and_mended_in_one_run(
    fronts: list[LabHost], inventory: str
) -> None:
    (active,) = wait_for(fronts, lambda found: len(found) == 1)
    (other,) = (each for each in fronts if each is not active)
    by_hand = f"ip address add {ADDRESS}/24 dev host0"
    other.ssh(
        f"{by_hand}; systemctl disable --quiet {UNIT}; sed -i 's/0.5/0.4/' {CONFIGURATION}",
        check=True,
    )
    named = host_tests("-k", "test_address", inventory=inventory).output
    assert f"{fronts[0].name} and {fronts[1].name} of" in named, named
    assert f"{UNIT} is active and not enabled" in named, named
    assert f"{UNIT} has not loaded what is in {CONFIGURATION}" in named, named
    # What somebody gave a host by hand is theirs to take away.
    other.ssh(by_hand.replace(" add ", " delete "), check=True)
    other.ssh(f"systemctl reload {UNIT}", check=True)
    mended = deploy(inventory=inventory)
    assert mended.exit_code == 0, mended.output
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output


def test_an_address_that_another_machine_has_is_refused(
    fronts: list[LabHost], inventory: str, tmp_path: Path
) -> None:
    del fronts, inventory
    refused = deploy(inventory=write_inventory(tmp_path, TAKEN))
    assert refused.exit_code != 0
    assert "virtual_address is 10.90.0.1, which " in refused.output


def test_a_deploy_without_it_gives_it_up(
    fronts: list[LabHost], inventory: str, tmp_path: Path
) -> None:
    del inventory
    ran = deploy(inventory=write_inventory(tmp_path, WITHOUT))
    assert ran.exit_code == 0, ran.output
    assert holders(fronts) == []
    left = "ls -d /etc/fortyninety/virtual-address /run/fortyninety-virtual-address " + (
        f"/etc/systemd/system/{UNIT} /etc/systemd/system/*/{UNIT}"
    )
    assert [each.ssh(left).stdout for each in fronts] == ["", ""]
