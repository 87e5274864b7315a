"""A box that says how it is: fresh, whatever hangs, and to nobody elsewhere."""

from __future__ import annotations

import re

import pytest

from lab import stages
from lab.gpu import control
from lab.gpu.control import Call
from lab.hosts import LabHost
from tests.lab.breaking import named_and_mended
from tests.lab.deploys import LAB_INVENTORY, deploy, host_tests, write_inventory

pytestmark = pytest.mark.lab

SAYING = """
from lab.inventory import inventory
lab = [(name, {**data, "signals": True}) for name, data in inventory()]
"""
FOLDER = "/run/fortyninety-signals"
FILE = f"{FOLDER}/box.prom"
READ = "systemctl start fortyninety-signals.service"
UNITS = "fortyninety-signals.service fortyninety-signals.timer fortyninety-node-exporter.service"
# Everything of it on a host, but for the package and its account.
LEFT = (
    f"ls -d {FOLDER} /etc/fortyninety/signals.json /etc/systemd/system/fortyninety-signals* "
    "/etc/systemd/system/*/fortyninety-signals* /etc/systemd/system/fortyninety-node-exporter* "
    "/etc/systemd/system/*/fortyninety-node-exporter* 2>/dev/null; "
    f"systemctl is-active {UNITS} | grep -x active; ss -Hltn 'sport = :9490'"
)
# The timer stopped, so that the reading is stale; and somebody's own in the program's place.
BROKEN = (
    "systemctl disable --now --quiet fortyninety-signals.timer; "
    rf"sed -i 's/^\(fortyninety_reading_timestamp_seconds\) .*/\1 1700000000/' {FILE}; "
    "printf '#!/bin/sh\\nexit 0\\n' >/opt/fortyninety/bin/signals"
)
# By which host test each is named, and by what drift.
NAMED = {
    "test_the_box_is_read_and_heard": "fortyninety-signals.timer is not enabled and active",
    "test_the_reading_is_fresh": "s old; expected at most 140 s",
    "test_the_programs_that_a_deploy_left": "bin/signals is not this project's program",
}
DRIFT = ("bin/signals has another content", "fortyninety-signals.timer is disabled")


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_inventory(tmp_path_factory.mktemp("signals"), SAYING)


@pytest.fixture(scope="module")
def saying(converged: LabHost, inventory: str) -> LabHost:
    """A host that says how it is."""
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    return converged


def samples(host: LabHost) -> dict[str, float]:
    """What a reading of this moment says."""
    host.ssh(READ, check=True)
    text = host.ssh(f"cat {FILE}", check=True).stdout
    found = re.findall(r"^fortyninety_(\S+(?: \S+)*) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_a_second_deploy_changes_nothing_and_the_host_tests_agree(
    saying: LabHost, inventory: str
) -> None:
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    found = host_tests("-k", "signals or nothing_listens", inventory=inventory)
    assert found.exit_code == 0, found.output


def test_a_reading_says_what_there_is(saying: LabHost) -> None:
    found = samples(saying)
    assert found['engine_state{state="serving"}'] == 1
    assert found["cards_on_bus"] == found["cards_answering"] == found["cards_wanted"] > 0
    (cap,) = {value for name, value in found.items() if name.startswith("card_power_limit_watts")}
    assert cap == 400
    assert found['source_up{source="journal"}'] == 1


def test_cards_that_do_not_answer_keep_nothing_else_back(saying: LabHost) -> None:
    control.fail(saying.name, Call.INITIALISE)
    try:
        found = samples(saying)
    finally:
        control.repair(saying.name)
    assert found['nvidia_smi_state{state="failed"}'] == 1 and found["cards_answering"] == 0
    assert found["cards_on_bus"] > 0 and found['engine_state{state="serving"}'] == 1


@pytest.mark.exhaustive  # 12 s of patience; what hangs is killed in the unit tests too
def test_an_nvidia_smi_that_hangs_is_said(saying: LabHost) -> None:
    saying.ssh(
        "mv /usr/bin/nvidia-smi /usr/bin/nvidia-smi.own; "
        "printf '#!/bin/sh\\nexec sleep 600\\n' >/usr/bin/nvidia-smi; "
        "chmod 755 /usr/bin/nvidia-smi",
        check=True,
    )
    try:
        found = samples(saying)
    finally:
        saying.ssh("mv -f /usr/bin/nvidia-smi.own /usr/bin/nvidia-smi", check=True)
    assert found['nvidia_smi_state{state="hung"}'] == 1
    assert found["nvidia_smi_duration_seconds"] < 20
    assert saying.ssh("pgrep -f 'sleep 600'").stdout == ""


def test_what_is_broken_is_named_and_put_right(saying: LabHost, inventory: str) -> None:
    saying.ssh(BROKEN, check=True)
    named_and_mended(inventory, "signals or programs_that", NAMED, DRIFT)


def test_without_the_setting_nothing_of_it_stays(saying: LabHost) -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert "Signals | Remove signals that are not wanted" in ran.changed, ran.changed
    assert saying.ssh(LEFT).stdout == ""
    shown = stages.fortyninety("drift", LAB_INVENTORY)
    assert (shown.returncode, shown.stdout) == (0, f"{saying.name}: up to date\n"), shown.stderr
