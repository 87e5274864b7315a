"""A box that is closed to its neighbours, stays so, and never closes itself to its operator."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from lab.hosts import LabHost
from tests.lab.deploys import deploy, deploy_killed_in, host_tests, write_inventory
from tests.lab.port_scan import answering

pytestmark = pytest.mark.lab

WALLED = """
from lab.inventory import inventory
lab = [(name, {**data, "firewall": True}) for name, data in inventory()]
"""
ELSEWHERE = WALLED.replace("True}", 'True, "allowed_networks": ["192.0.2.0/24"]}')
KEPT = "Firewall | Let in what the settings name, and keep it if SSH still gets through"
LISTED = "nft list table inet fortyninety_firewall"


@pytest.fixture(scope="module")
def walled(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_inventory(tmp_path_factory.mktemp("walled"), WALLED)


@pytest.fixture
def locking(tmp_path: Path) -> Path:
    """A copy of this project whose rules keep new connections from SSH."""
    copy = tmp_path / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
    template = copy / "templates" / "fortyninety-firewall.nft.j2"
    first = '        iifname "lo" accept\n'
    text = template.read_text()
    assert first in text
    template.write_text(text.replace(first, f"{first}        tcp dport 22 ct state new drop\n"))
    return copy


def has_table(host: LabHost) -> bool:
    return host.ssh(LISTED).returncode == 0


def test_networks_without_the_operator_are_refused(converged: LabHost, tmp_path: Path) -> None:
    ran = deploy(inventory=write_inventory(tmp_path, ELSEWHERE))
    assert ran.exit_code != 0 and "from which this deploy comes" in ran.output, ran.output
    assert not has_table(converged)


def test_rules_that_lock_out_are_taken_back_and_the_deploy_says_why(
    converged: LabHost, walled: str, locking: Path
) -> None:
    began = time.monotonic()
    ran = deploy(inventory=walled, project=locking)
    assert ran.exit_code != 0 and time.monotonic() - began < 150
    assert "no new SSH connection gets through them" in ran.output, ran.output
    assert "the host is as before" in ran.output
    assert not has_table(converged)
    left = converged.ssh("ls /etc/fortyninety/firewall.nft /run/fortyninety/firewall-trial")
    assert left.stdout == ""


def test_a_box_is_closed_and_a_second_deploy_changes_nothing(
    converged: LabHost, walled: str
) -> None:
    ran = deploy(inventory=walled)
    assert ran.exit_code == 0 and KEPT in ran.changed, ran.output
    again = deploy(inventory=walled)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    ran = host_tests("-k", "firewall", inventory=walled)
    assert ran.exit_code == 0, ran.output
    assert answering(converged, 10_000) == {22}


@pytest.mark.exhaustive  # up to port 10,000 above
def test_none_of_all_ports_answers_but_ssh(converged: LabHost) -> None:
    assert answering(converged) == {22}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        pytest.param(
            "nft delete table inet fortyninety_firewall",
            "expected one chain at input that drops",
            marks=pytest.mark.exhaustive,
        ),
        (
            "nft add rule inet fortyninety_firewall input tcp dport 4444 accept",
            "the firewall lets in 4444",
        ),
        pytest.param(
            "systemctl disable --quiet fortyninety-firewall.service",
            "is not enabled and active",
            marks=pytest.mark.exhaustive,
        ),
    ],
)
def test_what_opens_it_is_named_and_put_right(
    converged: LabHost, walled: str, how: str, says: str
) -> None:
    converged.ssh(how, check=True)
    found = host_tests("-k", "firewall", inventory=walled)
    assert found.exit_code == 1 and says in found.output, found.output
    ran = deploy(inventory=walled)
    assert list(ran.changed) == [KEPT], ran.output
    assert host_tests("-k", "firewall", inventory=walled).exit_code == 0


@pytest.mark.exhaustive  # the rules of the test above come back too, by the same unit
def test_it_is_there_after_a_boot(converged: LabHost, walled: str) -> None:
    converged.reboot()
    ran = host_tests("-k", "firewall", inventory=walled)
    assert ran.exit_code == 0, ran.output


@pytest.mark.exhaustive  # 60 s of waiting for the host's own timer
def test_a_deploy_that_was_killed_leaves_what_was_there_before(
    converged: LabHost, walled: str, locking: Path
) -> None:
    digest = re.findall(r'comment "(\w+)"', converged.ssh(LISTED, check=True).stdout)

    def loaded() -> None:
        # The connection that loaded them is all that gets through: ask from beside, by time.
        deadline = time.monotonic() + 60
        while (
            subprocess.run(
                ["timeout", "2", "bash", "-c", f"echo >/dev/tcp/{converged.address}/22"],
                check=False,
            ).returncode
            == 0
        ):
            assert time.monotonic() < deadline, "the rules were never loaded"

    deploy_killed_in(KEPT, inventory=walled, project=locking, when=loaded)
    deadline = time.monotonic() + 90
    while True:
        try:
            listed = converged.ssh(LISTED, timeout=10)
            if re.findall(r'comment "(\w+)"', listed.stdout) == digest:
                break
        except subprocess.TimeoutExpired:
            pass
        assert time.monotonic() < deadline, "the rules were not taken back"


def test_without_the_setting_nothing_of_it_stays(converged: LabHost) -> None:
    ran = deploy()
    assert list(ran.changed) == ["Firewall | Remove a firewall that the settings do not ask for"]
    assert not has_table(converged)
    assert converged.ssh("ls /etc/fortyninety/firewall.nft").returncode != 0
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
