"""Who changes a host, on two real ones: one at a time, and free when that one is gone.

The hosts are bare, with what a minimal Debian has.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fortyninety.checkout import ROOT
from lab import hosts
from lab.commands import run
from lab.hosts import LabHost
from lab.network import bridge
from lab.stages import deploy_command, fortyninety
from tests.lab.deploys import LAB_INVENTORY

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive, pytest.mark.usefixtures("lab")]

DEPLOY = "tests/lab/lease_deploy.py"
RECORD = "cat /run/fortyninety/holder"
IS_FREE = "flock -n /run/fortyninety/lease true"
# When the lease was freed, by the host's own clock and without a look from outside.
WATCH = (
    "rm -f /run/freed; systemd-run --quiet sh -c "
    f"'until {IS_FREE}; do sleep 0.2; done; date +%s.%N >/run/freed'"
)


@pytest.fixture(scope="module")
def pair(lab: None) -> list[LabHost]:
    """Two hosts as their installer left them."""
    del lab
    return hosts.up(2)


@contextmanager
def deploying(text: str, seconds: float = 0) -> Iterator[subprocess.Popen[str]]:
    """A deploy to both hosts under way."""
    with subprocess.Popen(
        deploy_command(LAB_INVENTORY, deploy_file=DEPLOY),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LEASE_TEXT": text,
            "LEASE_SECONDS": str(seconds),
            "SUDO_USER": text,
        },
    ) as process:
        yield process


def deploy(text: str) -> tuple[int, str]:
    with deploying(text) as process:
        output, _ = process.communicate()
    return process.returncode, output


def wait_until_taken(host: LabHost) -> None:
    deadline = time.monotonic() + 60
    while host.ssh(f"test -e /run/fortyninety/lease && ! {IS_FREE}").returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def texts(host: LabHost) -> set[str]:
    """The different lines of all files that the deploy writes."""
    shown = host.ssh("cd /opt/fortyninety/bin && cat complete* try* engine-failure* | sort -u")
    return set(shown.stdout.splitlines())


def test_of_two_deploys_at_the_same_moment_one_goes_on_and_the_other_is_told_who(
    pair: list[LabHost],
) -> None:
    names = {host.name for host in pair}
    for number in range(10):
        users = [f"alice{number}", f"bob{number}"]
        with ThreadPoolExecutor(2) as pool:
            ran = dict(zip(users, pool.map(deploy, users), strict=True))
        said = "\n".join(output for _, output in ran.values())
        (winner,) = (user for user, (code, _) in ran.items() if code == 0)
        (loser,) = (user for user, (code, _) in ran.items() if code != 0)
        refused = ran[loser][1]
        # Where the winner was done before the other asked, its plan is of a host that was changed.
        known = (f"it is being changed by {winner}@", "somebody else changed it since it was read")
        assert any(each in refused for each in known), said
        assert "othing was changed on any host" in refused, said
        assert "Traceback" not in said
        for host in pair:
            assert texts(host) == {winner}, (names, said)


def test_a_killed_controller_frees_its_hosts_within_a_second_or_two(pair: list[LabHost]) -> None:
    with deploying("killed", 30) as process:
        for host in pair:
            wait_until_taken(host)
            assert host.ssh(RECORD).stdout.split()[4].startswith("killed@")
            host.ssh(WATCH, check=True)
        process.send_signal(signal.SIGKILL)
        killed = time.time()
    for host in pair:
        host.ssh("until [ -s /run/freed ]; do sleep 0.1; done", timeout=60, check=True)
        assert float(host.ssh("cat /run/freed").stdout) - killed < 5
    assert deploy("after")[0] == 0
    assert [texts(host) for host in pair] == [{"after"}] * 2


def test_a_controller_that_is_cut_off_loses_its_host_within_a_minute_and_says_so(
    pair: list[LabHost],
) -> None:
    cut, other = pair
    with deploying("cut", 20) as process:
        for host in pair:
            wait_until_taken(host)
        cut.ssh(WATCH, check=True)
        link = bridge.link_name(cut.name)
        run(["ip", "link", "set", link, "down"])
        silent = time.time()
        try:
            output, _ = process.communicate()
        finally:
            run(["ip", "link", "set", link, "up"])
    assert process.returncode != 0
    assert re.search(rf"\[{cut.name}\].* was silent for 3\d s", output), output
    cut.ssh("until [ -s /run/freed ]; do sleep 0.1; done", timeout=60, check=True)
    assert float(cut.ssh("cat /run/freed").stdout) - silent < 60
    assert texts(other) == {"cut"}, "the other host was not gone on with"
    assert deploy("again")[0] == 0
    assert [texts(host) for host in pair] == [{"again"}] * 2


def test_unlock_ends_the_lease_of_one_host_whose_deploy_changes_nothing_there_any_more(
    pair: list[LabHost],
) -> None:
    ended, other = pair
    with deploying("asleep", 15) as process:
        for host in pair:
            wait_until_taken(host)
        reason = "its laptop's lid $(is) shut"
        ran = fortyninety(
            "unlock", LAB_INVENTORY, "--limit", ended.name, "--reason", reason, "--json"
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        (host,) = json.loads(ran.stdout)["result"]["hosts"]
        assert host["ended"] and host["holder"].startswith("asleep@")
        output, _ = process.communicate()
    assert process.returncode != 0
    assert f"[{ended.name}]" in output and "the lease of this host was lost" in output, output
    assert texts(ended) != {"asleep"}
    assert texts(other) == {"asleep"}
    logged = ended.ssh("journalctl --quiet -t fortyninety -o cat", check=True).stdout
    assert reason in logged and "asleep@" in logged
    ran = fortyninety("unlock", LAB_INVENTORY, "--limit", ended.name, "--reason", "again")
    assert ran.stdout == f"{ended.name}: no run had its lease\n"
