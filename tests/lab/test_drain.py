"""A box that is drained: nobody is cut off, nobody new is let in, and it comes back by itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from lab import stages
from lab.hosts import LabHost
from tests.lab.deploys import deploy, deploy_killed_in, host_tests, write_inventory
from tests.lab.key_holder import KeyHolder, Stream, add_key, ask_over, failed
from tests.lab.test_gateway import UNIT, WITH_GATEWAY, wait_until_port_is

pytestmark = pytest.mark.lab

STATE = "/var/lib/fortyninety/drained.json"
DRAIN_FIRST = "Service | Have it end what is under way, where it restarts"
SERVE_AGAIN = "Gateway | Have the box take requests again"


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_inventory(tmp_path_factory.mktemp("drain"), WITH_GATEWAY)


@pytest.fixture(scope="module")
def gateway(converged: LabHost, inventory: str) -> LabHost:
    """A host with a gateway, on which a deploy would change nothing."""
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    return converged


@pytest.fixture(scope="module")
def ada(gateway: LabHost, inventory: str) -> KeyHolder:
    """Somebody with a key."""
    authority = Path(inventory).with_name("lab.authority") / "authority.pem"
    return KeyHolder(gateway, authority, add_key(inventory, "ada"))


@pytest.fixture
def pool(gateway: LabHost, inventory: str) -> Iterator[ThreadPoolExecutor]:
    """Who asks beside the test; at its end none of them waits for a box that is drained."""
    with ThreadPoolExecutor(12) as pool:
        yield pool
        stages.fortyninety("undrain", inventory, gateway.name)


def test_streams_end_new_requests_wait_and_its_moment_ends_it(
    gateway: LabHost, inventory: str, ada: KeyHolder, pool: ThreadPoolExecutor
) -> None:
    began = time.monotonic()
    assert ada.complete(32).status_code == 200
    # So long that they are under way when the command begins, and end while it waits.
    tokens = max(64, int(5 * 32 / (time.monotonic() - began)))
    streams = [Stream() for _ in range(4)]
    reading = [pool.submit(ada.stream, stream, tokens) for stream in streams]
    assert all(stream.began.wait(60) for stream in streams)
    ran = drain(inventory, gateway, "--for", "5m", "--wait", "120")
    assert ran["exit_code"] == 0, ran
    (host,) = ran["result"]["hosts"]
    assert host["drained"]["reason"] == "new fans" and host["open"]["gateway"] == 0, host
    assert all(each.result(60).is_whole for each in reading)

    held = [pool.submit(ada.complete) for _ in range(3)]
    gateway.ssh(f"systemctl reload {UNIT}", check=True)
    assert not wait(held, timeout=3).done, "the reload let them in"
    drain(inventory, gateway, "--for", "10s")
    assert [each.result(60).status_code for each in held] == [200] * 3
    deadline = time.monotonic() + 30
    while gateway.ssh(f"test -e {STATE}").returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.5)

    drain(inventory, gateway, "--for", "5m")
    gateway.ssh(f"systemctl restart {UNIT}", check=True)
    wait_until_port_is(gateway, is_open=True)
    asked = pool.submit(ada.complete)
    assert not wait([asked], timeout=3).done, "the restart let it in"
    assert stages.fortyninety("undrain", inventory, gateway.name).returncode == 0
    assert asked.result(60).status_code == 200


@pytest.mark.exhaustive  # by the file that a restart of the gateway reads too
def test_it_lasts_over_a_boot_and_ends_where_the_box_was_off(
    gateway: LabHost, inventory: str, ada: KeyHolder, pool: ThreadPoolExecutor
) -> None:
    drain(inventory, gateway, "--for", "20m")
    gateway.reboot()
    wait_until_port_is(gateway, is_open=True)
    asked = pool.submit(ada.complete)
    assert not wait([asked], timeout=5).done, "the boot let it in"
    until = drain(inventory, gateway, "--for", "30s")["result"]["hosts"][0]["drained"]["until"]
    gateway.cut_power()
    while time.time() < until + 2:
        time.sleep(1)
    gateway.start()
    wait_until_port_is(gateway, is_open=True)
    assert ada.complete().status_code == 200
    assert gateway.ssh(f"ls {STATE} /etc/systemd/system/*undrain*").stdout == ""


@pytest.mark.exhaustive  # that no request is lost over a restart is shown without a deploy
def test_a_deploy_that_restarts_the_engine_drains_it_first(
    gateway: LabHost, inventory: str, ada: KeyHolder, pool: ThreadPoolExecutor
) -> None:
    began = threading.Event()
    asking = pool.submit(ask_over, ada, 60, began)
    assert began.wait(60)
    ran = deploy("--data", "max_num_seqs=24", inventory=inventory)
    assert ran.exit_code == 0, ran.output
    assert {DRAIN_FIRST, SERVE_AGAIN} <= ran.changed.keys(), ran.changed
    assert failed(asking.result()) == []
    again = deploy("--data", "max_num_seqs=24", inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output


@pytest.mark.exhaustive  # a deploy that ends begins where this one does
def test_a_killed_deploy_leaves_it_drained_until_the_next_one(
    gateway: LabHost, inventory: str, ada: KeyHolder
) -> None:
    options = ("--data", "max_num_seqs=40")
    deploy_killed_in("Service | Run what the unit on disk says", *options, inventory=inventory)
    page = json.loads(gateway.ssh(f"cat {STATE}", check=True).stdout)
    assert page["by"].startswith("deploy of ") and 0 < page["until"] - time.time() < 24 * 3600
    ran = deploy(*options, inventory=inventory)
    assert ran.exit_code == 0 and SERVE_AGAIN in ran.changed, ran.output
    again = deploy(*options, inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert ada.complete().status_code == 200


@pytest.mark.exhaustive  # of the reading alone, as the unit tests show
def test_a_deploy_leaves_it_drained_and_ends_what_is_overdue(
    gateway: LabHost, inventory: str, ada: KeyHolder
) -> None:
    drain(inventory, gateway, "--for", "20m")
    ran = stages.fortyninety("deploy", inventory, "--yes")
    assert ran.returncode == 0, ran.stderr
    assert f"{gateway.name} stays drained until" in ran.stdout, ran.stdout
    assert gateway.ssh(f"test -e {STATE}").returncode == 0

    gateway.ssh(
        "systemctl stop fortyninety-undrain.timer && "
        f"""sed -i 's/"until": [0-9]*/"until": 1000000000/' {STATE}""",
        check=True,
    )
    found = host_tests("-k", "drained_no_longer", inventory=inventory)
    assert found.exit_code == 1 and "`fortyninety undrain` it" in found.output, found.output
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0 and SERVE_AGAIN in ran.changed, ran.output
    assert host_tests("-k", "drained_no_longer", inventory=inventory).exit_code == 0
    assert ada.complete().status_code == 200


def drain(inventory: str, host: LabHost, *options: str) -> dict[str, Any]:
    """Drain it by the command, and return what that printed."""
    ran = stages.fortyninety(
        "drain", inventory, host.name, "--reason", "new fans", *options, "--json"
    )
    page: dict[str, Any] = json.loads(ran.stdout)
    return page
