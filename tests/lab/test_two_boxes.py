"""Two boxes with one card each serve one model: deployed, broken in every way, and back each time.

One story on real lab hosts, in the order of this file: each test starts from where the last one
left the hosts. The model is the tiny one, two of its four layers on each host.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from lab.errors import LabError
from lab.hosts import LabHost
from lab.network import bridge
from lab.question import ask
from lab.tiny_model import SENTENCE
from tests.lab.asking import complete_command
from tests.lab.deploys import (
    NOT_IN_THE_LAB,
    deploy,
    host_tests,
    not_shown_by,
    skipped,
    write_inventory,
)

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

LINK_CUT_SECONDS = 60
# How long a cell may take to serve again once nothing hinders it. On an idle machine of two cores
# it takes about half a minute, nearly all of it the engine's own start; docs/cell.md has figures.
RECOVERY_SECONDS = 300.0

MEMBERS = """
from lab.inventory import inventory
lab = [(name, {**data, "cell": "a"}) for name, data in inventory()]
"""
ONE_MEMBER = """
from lab.inventory import inventory
(_first, _data), *_others = inventory()
lab = [(_first, {**_data, "cell": "a"}), *_others]
"""
DIFFERENT_RELEASES = """
from lab.inventory import inventory
(_first, _data), *_others = inventory()
lab = [
    (_first, {**_data, "cell": "a"}),
    *((name, {**data, "cell": "a", "engine": "0.8.5.post1"}) for name, data in _others),
]
"""


@pytest.fixture(scope="module")
def head(pair: list[LabHost]) -> LabHost:
    return pair[0]


@pytest.fixture(scope="module")
def other(pair: list[LabHost]) -> LabHost:
    return pair[1]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The inventory in which the two are a cell."""
    return write_inventory(tmp_path_factory.mktemp("cell"), MEMBERS)


def main_process(host: LabHost) -> str:
    """The service's process in this boot: another one after every restart."""
    shown = host.ssh(
        "cat /proc/sys/kernel/random/boot_id; systemctl show --property=MainPID vllm.service",
        timeout=10,
    )
    return shown.stdout


def serve_again_after(pair: list[LabHost], event: Callable[[], object]) -> None:
    """Let `event` happen; wait until every member runs anew and the head answers, undeployed."""
    before = [main_process(host) for host in pair]
    event()
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not anew(pair, before):
        assert time.monotonic() < deadline, "\n".join(status(host) for host in pair)
        time.sleep(0.5)
    assert ask(pair[0], "Say hello.")[1] == SENTENCE


def anew(pair: list[LabHost], before: list[str]) -> bool:
    """Whether every member's process is another than `before` and the head answers."""
    try:
        now = [main_process(host) for host in pair]
        return (
            all(each and each != was for each, was in zip(now, before, strict=True))
            and not pair[0].ssh(f"timeout 20 {complete_command(pair[0])}", timeout=30).returncode
        )
    except subprocess.TimeoutExpired:
        return False


def status(host: LabHost) -> str:
    try:
        return host.ssh("systemctl status --lines=20 vllm.service", timeout=10).stdout
    except (LabError, subprocess.TimeoutExpired) as error:
        return f"{host.name}: {error}"


# --- Refused: nothing is changed on any host ------------------------------------------------------


@pytest.mark.parametrize(
    ("inventory", "messages"),
    [
        (ONE_MEMBER, ["{head}: cell is 'a', which has no other member"]),
        (
            DIFFERENT_RELEASES,
            [
                "{other}: engine is '0.8.5.post1'; expected one that serves from several hosts",
                "{other}: engine is '0.8.5.post1'; expected '0.32.0-cpu' as on {head}, the head",
            ],
        ),
    ],
)
def test_a_cell_that_cannot_serve_is_refused(
    pair: list[LabHost], tmp_path: Path, inventory: str, messages: list[str]
) -> None:
    before = [main_process(host) for host in pair]
    ran = deploy(inventory=write_inventory(tmp_path, inventory))
    assert ran.exit_code != 0
    assert "Refused: nothing was changed on any host" in ran.output
    for message in messages:
        assert message.format(head=pair[0].name, other=pair[1].name) in ran.output
    assert "Traceback" not in ran.output
    assert [main_process(host) for host in pair] == before


# --- From two that serve alone to two that serve together -----------------------------------------


def test_two_hosts_answer_as_one(pair: list[LabHost], cell: str) -> None:
    ran = deploy(inventory=cell)
    assert ran.exit_code == 0, ran.output
    # The whole sentence: both halves of the layers were read, and joined in the right order.
    assert ask(pair[0], "Say hello.")[1] == SENTENCE
    for rank, host in enumerate(pair):
        assert host.ssh("pgrep --full ^VLLM::Worker").stdout.count("\n") == 1
        assert host.ssh(f"pgrep --full ^VLLM::Worker_PP{rank}").returncode == 0


def test_a_second_deploy_changes_nothing_also_of_one_member_alone(
    pair: list[LabHost], cell: str
) -> None:
    ran = deploy(inventory=cell)
    assert (ran.exit_code, ran.changed) == (0, {}), ran.output
    for host in pair:
        ran = deploy("--limit", host.name, inventory=cell)
        assert (ran.exit_code, ran.changed) == (0, {}), ran.output


def test_a_firewall_that_was_flushed_is_found_and_loaded_again_while_the_cell_serves(
    pair: list[LabHost], other: LabHost, cell: str
) -> None:
    before = [main_process(host) for host in pair]
    other.ssh("nft flush ruleset", check=True)
    found = host_tests("-k", "cell", inventory=cell)
    assert found.exit_code == 1
    assert "answers somebody who is no member of the cell" in found.output
    ran = deploy(inventory=cell)
    assert ran.changed == {"Cell | Keep the cell's ports to its members": [other.name]}
    assert host_tests("-k", "cell", inventory=cell).exit_code == 0
    assert [main_process(host) for host in pair] == before


# --- Broken, and back without a deploy ------------------------------------------------------------


def test_a_worker_killed_on_the_member_that_does_not_serve(
    pair: list[LabHost], other: LabHost
) -> None:
    serve_again_after(pair, lambda: other.ssh("pkill --signal KILL --full ^VLLM::Worker"))


@pytest.mark.exhaustive
def test_a_worker_killed_on_the_head(pair: list[LabHost], head: LabHost) -> None:
    serve_again_after(pair, lambda: head.ssh("pkill --signal KILL --full ^VLLM::Worker"))


@pytest.mark.exhaustive
def test_a_reboot_of_the_member_that_does_not_serve(pair: list[LabHost], other: LabHost) -> None:
    serve_again_after(pair, other.reboot)


@pytest.mark.exhaustive  # a member goes away in the test above too
def test_a_reboot_of_the_head(pair: list[LabHost], head: LabHost) -> None:
    serve_again_after(pair, head.reboot)


@pytest.mark.exhaustive  # a member goes away in the tests above too
def test_a_link_that_is_cut_for_a_minute(pair: list[LabHost], other: LabHost) -> None:
    link = bridge.link_name(other.name)

    def cut() -> None:
        subprocess.run(["ip", "link", "set", link, "down"], check=True)
        time.sleep(LINK_CUT_SECONDS)
        subprocess.run(["ip", "link", "set", link, "up"], check=True)

    serve_again_after(pair, cut)


def test_after_all_that_the_hosts_are_right_and_a_deploy_changes_nothing(
    pair: list[LabHost], cell: str
) -> None:
    """Among the host tests: who is not a member, as this machine, reaches none of the ports."""
    ran = host_tests(inventory=cell)
    assert ran.exit_code == 0, ran.output
    assert skipped(ran, *NOT_IN_THE_LAB, *not_shown_by(pair[0])) == []
    again = deploy(inventory=cell)
    assert (again.exit_code, again.changed) == (0, {}), again.output


# --- Back to serving alone ------------------------------------------------------------------------


def rollback(inventory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fortyninety", "rollback", inventory, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_a_rollback_of_one_member_alone_is_refused(pair: list[LabHost], cell: str) -> None:
    before = [main_process(host) for host in pair]
    refused = rollback(cell, "--limit", pair[0].name)
    assert refused.returncode == 2
    assert f"nothing was changed: {pair[1].name} of cell a is left out" in refused.stderr
    assert [main_process(host) for host in pair] == before


def test_a_rollback_of_all_goes_back_to_two_that_serve_alone(
    pair: list[LabHost], cell: str
) -> None:
    back = rollback(cell)
    assert back.returncode == 0, back.stdout + back.stderr
    assert [ask(host, "Say hello.")[1] for host in pair] == [SENTENCE] * 2


def test_a_host_that_is_in_no_cell_any_more_keeps_nothing_of_it(pair: list[LabHost]) -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert ran.changed == {"Cell | Remove what a cell left": [host.name for host in pair]}
    for host in pair:
        assert "fortyninety_cell" not in host.ssh("nft list ruleset", check=True).stdout
        gone = host.ssh("ls /etc/fortyninety/cell.nft /etc/systemd/system/fortyninety-cell-*")
        assert gone.stdout == ""
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
