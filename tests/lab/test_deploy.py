"""Further deploys of a host that serves: refused, put right, cut anywhere, and for two.

One story on real lab hosts, in the order of this file: each test starts from where the last one
left the hosts.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import hosts, stages
from lab.gpu import control
from lab.hosts import LabHost
from lab.question import ask
from lab.tiny_model import SENTENCE
from tests.lab.asking import wait_until_it_answers
from tests.lab.converged_hosts import start_converged
from tests.lab.deploys import (
    FINGERPRINT,
    deploy,
    deploy_killed_in,
    deploy_whose_host_loses_power_in,
    host_tests,
    write_inventory,
)

pytestmark = pytest.mark.lab


def answer(host: LabHost) -> str:
    return ask(host, "Say hello.")[1]


# --- Refused: nothing is changed on any host ------------------------------------------------------


def test_one_host_out_of_reach_refuses_the_run_for_all(converged: LabHost, tmp_path: Path) -> None:
    inventory = write_inventory(
        tmp_path,
        "from lab.inventory import inventory\n"
        "_known = inventory()\n"
        "lab = [*_known, ('gone', {**_known[0][1], 'ssh_hostname': '10.90.0.250'})]\n",
    )
    before = converged.ssh(FINGERPRINT, check=True).stdout
    ran = deploy(inventory=inventory)
    assert ran.exit_code != 0
    assert "gone: SSH port is out of reach on 10.90.0.250, port 22" in ran.output
    assert "--exclude gone" in ran.output
    assert converged.ssh(FINGERPRINT, check=True).stdout == before


@pytest.mark.exhaustive
def test_a_distribution_that_does_not_have_the_driver_refuses_the_run_for_all(
    converged: LabHost,
) -> None:
    hosts.up(2, release="bookworm")
    before = converged.ssh(FINGERPRINT, check=True).stdout
    ran = deploy("--data", "driver_source=distribution")
    hosts.down(["lab2"])
    assert ran.exit_code != 0
    assert "lab2: driver_source is 'distribution'; expected 'auto' or 'nvidia'" in ran.output
    assert "lab1:" not in ran.output
    assert converged.ssh(FINGERPRINT, check=True).stdout == before


# --- Put right ------------------------------------------------------------------------------------


def test_a_cap_set_by_hand_is_found_by_the_host_tests_and_put_right_by_a_deploy(
    converged: LabHost,
) -> None:
    converged.ssh("nvidia-smi --id=0 --power-limit=300", check=True)
    found = host_tests("-k", "capped")
    assert found.exit_code == 1
    assert "GPU 0 is capped at 300.00 W; expected 400 W" in found.output
    ran = deploy()
    assert list(ran.changed) == ["Power | Cap every card at 400 W"]
    assert host_tests("-k", "capped").exit_code == 0


@pytest.mark.exhaustive  # a unit changed by hand is put back in test_drift too
def test_a_unit_changed_by_hand_is_put_back_and_the_process_with_it(converged: LabHost) -> None:
    converged.ssh("sed -i s/16384/8192/ /etc/systemd/system/vllm.service", check=True)
    converged.ssh("systemctl daemon-reload && systemctl restart vllm.service", check=True)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert "Service | Write the unit" in ran.changed
    assert host_tests("-k", "flag or unit").exit_code == 0


def test_a_change_whose_restart_was_cut_off_is_restarted_by_the_next_run(
    converged: LabHost,
) -> None:
    deploy_killed_in("Service | Point to the live engine", "--data", "max_num_seqs=2")
    ran = deploy("--data", "max_num_seqs=2")
    assert ran.exit_code == 0, ran.output
    assert "Service | Run what the unit on disk says" in ran.changed
    arguments = converged.ssh(
        "tr '\\0' ' ' < /proc/$(systemctl show -P MainPID vllm.service)/cmdline", check=True
    ).stdout
    assert "--max-num-seqs 2" in arguments


# Parses, and serves nobody: 1 MiB holds no sequence of max_model_len.
SERVES_NOBODY = ("--data", 'engine_arguments=["--kv-cache-memory-bytes", "1048576"]')
# Seconds that putting back may take beside the engine's own start.
PUTTING_BACK = 30


def unit_of(host: LabHost) -> str:
    return host.ssh("cat /etc/systemd/system/vllm.service", check=True).stdout


def test_a_start_that_fails_shows_the_engines_own_error_first_and_what_served_serves_again(
    converged: LabHost,
) -> None:
    before = unit_of(converged)
    ran = deploy(*SERVES_NOBODY)
    assert ran.exit_code != 0
    (shown,) = re.findall(r"Gate \| Wait for a completion.*\n((?:.*\[lab1\].*\n)+)", ran.output)
    lines = [line.partition("[lab1]")[2].strip() for line in shown.splitlines()]
    cause, remedy, more, *_ = lines
    assert cause.startswith("vllm.service does not stay up: ValueError: To serve at least"), shown
    assert "max_model_len" in remedy
    assert "journalctl" in more
    (both,) = [line for line in lines if line.startswith(f"{cause}; put back: ")]
    assert re.search(r"serves again since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", both), both
    assert unit_of(converged) == before
    assert answer(converged) == SENTENCE


@pytest.mark.exhaustive  # as above; that the next run with other settings serves is in test_engines
def test_it_is_tried_again_and_said_to_have_failed_and_is_back_within_its_start_time(
    converged: LabHost,
) -> None:
    began = time.monotonic()
    converged.ssh("systemctl restart vllm.service", check=True)
    wait_until_it_answers(converged)
    start = time.monotonic() - began
    ran = deploy(*SERVES_NOBODY)
    assert ran.exit_code != 0
    assert "this configuration failed here before, at " in ran.output, ran.output
    seconds = re.search(r"serves again since .* \(after (\d+) s\)", ran.output)
    assert seconds is not None, ran.output
    assert int(seconds[1]) <= start + PUTTING_BACK, (seconds[0], start)
    assert answer(converged) == SENTENCE


@pytest.mark.exhaustive  # what may be put back is in tests/unit/on_host/test_restore.py
def test_a_controller_killed_while_it_is_put_back_leaves_what_the_next_run_converges(
    converged: LabHost,
) -> None:
    before = unit_of(converged)

    def until_put_back() -> None:
        deadline = time.monotonic() + 120
        while unit_of(converged) == before:
            assert time.monotonic() < deadline, "the new unit never came"
        while unit_of(converged) != before:
            assert time.monotonic() < deadline, "what served was not put back"

    deploy_killed_in("Gate | Wait for a completion", *SERVES_NOBODY, when=until_put_back)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert answer(converged) == SENTENCE
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output


@pytest.mark.exhaustive  # as before there was a choice
def test_with_leave_the_new_unit_stays_and_the_next_run_mends_it(converged: LabHost) -> None:
    before = unit_of(converged)
    ran = deploy(*SERVES_NOBODY, "--data", "on_failed_gate=leave")
    assert ran.exit_code != 0 and "put back" not in ran.output
    assert unit_of(converged) != before
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert answer(converged) == SENTENCE


def test_each_change_is_in_the_journal_with_what_served_before_and_after(
    converged: LabHost,
) -> None:
    """Also that which failed, and nothing for a run that changed nothing."""
    assert deploy().exit_code == 0
    asked = stages.fortyninety("history", "inventory/lab.py", "--limit", "lab1", "--json")
    assert asked.returncode == 0, asked.stderr
    changes = json.loads(asked.stdout)["result"]["changes"]
    failed = [each for each in changes if each["result"] == "failed"]
    assert failed, changes
    assert "put back: " in failed[-1]["why"]
    assert failed[-1]["before"] == failed[-1]["after"] != {"engine": "", "configuration": ""}
    assert re.fullmatch(r"\S+@\S+", failed[-1]["who"])
    assert deploy().changed == {}
    asked = stages.fortyninety("history", "inventory/lab.py", "--limit", "lab1", "--json")
    assert json.loads(asked.stdout)["result"]["changes"] == changes


# --- Cut anywhere ---------------------------------------------------------------------------------


def test_a_run_cut_anywhere_converges_on_the_next(converged: LabHost) -> None:
    """Undone down to the driver, then the controller dies in one stage after another.

    In the last one the host loses its power instead.
    """
    converged.ssh(
        "systemctl disable --now --quiet vllm.service fortyninety-power-limit.service; "
        "rm -rf /opt/fortyninety /srv/models /etc/systemd/system/vllm.service "
        "/etc/systemd/system/fortyninety-power-limit.service /etc/apt/preferences.d/fortyninety-*; "
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge python3.11-dev python3-venv "
        ">/dev/null; userdel vllm; systemctl daemon-reload",
        check=True,
    )
    for stage in (
        "Python | Install Python 3.11",
        "Python | Install uv",
        "Ahead | Begin to build vLLM",
        "Ahead | Begin to fetch",
    ):
        deploy_killed_in(stage)
    # The build goes on without its controller, while the driver's stage looks at what is there.
    deploy_killed_in("Driver | ", when=lambda: is_building(converged))
    is_building(converged)
    for stage in (
        "Engine | Install vLLM",
        "Snapshot | Fetch and verify",
        "Power | Cap every card",
        "Service | Write the unit",
    ):
        deploy_killed_in(stage)
    deploy_whose_host_loses_power_in("Service | Run what", converged)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert answer(converged) == SENTENCE
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
    looked = host_tests()
    assert looked.exit_code == 0, looked.output
    leftovers = converged.ssh(
        "find / -xdev \\( -name '.*.fortyninety-??????????' -o -name '.partial-*' \\) -print",
        check=True,
    )
    assert leftovers.stdout == ""


def is_building(host: LabHost) -> None:
    """Assert that an environment is being built ahead on the host."""
    unit = host.ssh("systemctl is-active fortyninety-environment.scope")
    assert unit.stdout.strip() == "active", unit.stdout + unit.stderr


@pytest.mark.exhaustive  # a dpkg that was interrupted is repaired in test_driver_faults too
def test_an_apt_cut_by_a_power_failure_is_repaired(converged: LabHost) -> None:
    converged.ssh(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge python3.11-dev >/dev/null; "
        # Unpacked and never configured, as after a power cut in the middle of dpkg.
        "apt-get -qq download python3.11-dev && dpkg --unpack python3.11-dev_*.deb",
        check=True,
    )
    converged.cut_power()
    converged.start()
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert converged.ssh("dpkg --audit").stdout == ""
    assert converged.ssh("python3.11-config --includes").returncode == 0


# --- Two hosts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(converged: LabHost) -> Iterator[list[LabHost]]:
    """The host of this story and a second one, each with one card so that both fit here."""
    second = start_converged(2)[1]
    yield [converged, second]
    # Or it would be deployed to by every module that takes the first one over.
    hosts.down([second.name])


def test_two_hosts_deploy_side_by_side_and_the_failure_of_one_leaves_the_other_right(
    pair: list[LabHost],
) -> None:
    good, bad = pair
    # A cap, and a flag that the service is to be restarted for afterwards.
    changed = ("--data", "power_limit=350", "--data", "max_num_seqs=2")
    control.fail(bad.name, control.Call.SET_POWER_LIMIT)
    bad.ssh("systemctl restart fortyninety-power-limit.service")
    ran = deploy(*changed)
    assert ran.exit_code != 0
    # What follows the failure is not done on that host, which pyinfra counts as failed too.
    assert next(iter(ran.failed)) == "Power | Cap every card at 350 W", ran.output
    assert all(names == [bad.name] for names in ran.failed.values()), ran.output
    assert "Failed to set power management limit" in ran.output
    assert answer(good) == SENTENCE
    assert control.power_limit_watts(good.name, 0) == 350
    assert ran.changed["Service | Run what the unit on disk says"] == [good.name]

    control.repair(bad.name)
    ran = deploy(*changed)
    assert ran.exit_code == 0, ran.output
    assert control.power_limit_watts(bad.name, 0) == 350
    assert answer(bad) == SENTENCE
    assert all(bad.name in names for names in ran.changed.values())
    assert not any(good.name in names for names in ran.changed.values())
