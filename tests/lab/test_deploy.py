"""The deploy, end to end: refused, from bare to answering, again, cut, after a reboot, and for two.

One story on real lab hosts, in the order of this file: each test starts from where the last one
left the hosts.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fortyninety.group_data import default_setting
from lab import gpu, hosts, hub_process
from lab.hosts import LabHost
from lab.question import ask
from lab.tiny_model import SENTENCE
from tests.lab.converged_hosts import save_converged, start_converged
from tests.lab.deploys import (
    Result,
    deploy,
    deploy_killed_in,
    host_tests,
    write_inventory,
)

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

COMPLETE = "/opt/fortyninety/bin/complete --port 8000 --model fortyninety-lab/tiny-llama-awq-int4"
# Everything that a deploy could have written to, with the time of each last change.
FINGERPRINT = (
    "find /etc /opt /srv /usr /var/lib/dpkg /boot /root -xdev -printf '%p %C@\\n' | "
    "sort | sha256sum"
)


@pytest.fixture(scope="module")
def bare(lab: None) -> LabHost:
    """A host as its installer left it."""
    del lab
    (host,) = hosts.up(1)
    return host


@pytest.fixture(scope="module")
def first_deploy(bare: LabHost) -> tuple[Result, int]:
    """The first deploy of the bare host, and how often the host had booted before it."""
    boots = bare.boots
    return deploy(), boots


@pytest.fixture(scope="module")
def converged(bare: LabHost, first_deploy: tuple[Result, int]) -> LabHost:
    """The host after its first deploy."""
    assert first_deploy[0].exit_code == 0, first_deploy[0].output
    return bare


def wait_until_it_answers(host: LabHost) -> None:
    """Wait for the engine, which starts with the host."""
    host.ssh(f"python3 {COMPLETE} --wait 300 --unit vllm.service", check=True)


def answer(host: LabHost) -> str:
    return ask(host, "Say hello.")[1]


# --- Refused: nothing is changed on any host ------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("power_limit=9000", "lab1: power_limit is 9000 W; expected from 150 to 600 W"),
        ("power_limit=400W", "lab1: power_limit is '400W'; expected a whole number of at least 1"),
        (
            "power_limt=400",
            "lab1: power_limt is 400; expected no such setting; did you mean power_",
        ),
        (
            "engine=0.99.0",
            "lab1: engine is '0.99.0'; expected one of 0.6.3.post1, 0.8.5.post1, 0.32.0, ",
        ),
        ("model_revision=main", "lab1: model_revision is 'main'; expected a full commit hash"),
        (
            "models_directory=models",
            "lab1: models_directory is 'models'; expected an absolute path",
        ),
        ("driver_branch=535", "lab1: driver_branch is 535; expected a whole number from 550"),
        ("kv_cache_dtype=int8", "lab1: kv_cache_dtype is 'int8'; expected one of 'auto', 'fp8'"),
        ("gpu_count=4", "lab1: gpu_count is 2; expected 4"),
        ("tensor_parallel_size=4", "lab1: tensor_parallel_size is 4; expected at most the 2 cards"),
        ("gpu_model=NVIDIA GeForce RTX 4090 D", "lab1: gpu_model is 'NVIDIA GeForce RTX 4090'"),
        ("allow_non_nvme=false", "lab1: models_directory is on "),
        ("port=22222", "lab1: port 22222 is taken: LISTEN"),
    ],
)
def test_a_run_that_cannot_succeed_is_refused_and_changes_nothing(
    bare: LabHost, data: str, message: str
) -> None:
    # A listener that is not ours, for the last case; there from before the first look at the disk.
    bare.ssh(
        "systemctl is-active --quiet squatter || systemd-run --quiet --unit=squatter "
        "python3 -m http.server --bind 127.0.0.1 22222"
    )
    before = bare.ssh(FINGERPRINT, check=True).stdout
    ran = deploy("--data", data)
    assert ran.exit_code != 0
    assert "Refused: nothing was changed on any host, for 1 reason" in ran.output
    assert message in ran.output
    assert "Traceback" not in ran.output
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


def test_a_model_too_large_for_the_cards_is_refused_with_the_arithmetic_before_a_byte_is_fetched(
    bare: LabHost,
) -> None:
    before = bare.ssh(FINGERPRINT, check=True).stdout
    ran = deploy(
        *("--data", "engine=0.8.5.post1", "--data", "tensor_parallel_size=1"),
        *("--data", f"model_repository={default_setting('model_repository')}"),
        *("--data", f"model_revision={default_setting('model_revision')}"),
    )
    assert ran.exit_code != 0
    assert "lab1: memory is too small: a card's budget is 22.45 GiB" in ran.output, ran.output
    assert "What would fit:" in ran.output
    # The hub may have been asked what there is, but for no file of it.
    assert "/resolve/" not in hub_process.access_log().read_text()
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


def test_one_host_out_of_reach_refuses_the_run_for_all(bare: LabHost, tmp_path: Path) -> None:
    inventory = write_inventory(
        tmp_path,
        "from lab.inventory import inventory\n"
        "_known = inventory()\n"
        "lab = [*_known, ('gone', {**_known[0][1], 'ssh_hostname': '10.90.0.250'})]\n",
    )
    before = bare.ssh(FINGERPRINT, check=True).stdout
    ran = deploy(inventory=inventory)
    assert ran.exit_code != 0
    assert "gone: connection is refused or unanswered at 10.90.0.250" in ran.output
    assert "--exclude gone" in ran.output
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


def test_a_distribution_that_does_not_have_the_driver_refuses_the_run_for_all(
    bare: LabHost,
) -> None:
    hosts.up(2, release="bookworm")
    before = bare.ssh(FINGERPRINT, check=True).stdout
    ran = deploy("--data", "driver_source=distribution")
    hosts.down(["lab2"])
    assert ran.exit_code != 0
    assert "lab2: driver_source is 'distribution'; expected 'auto' or 'nvidia'" in ran.output
    assert "lab1:" not in ran.output
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


# --- From bare to answering -----------------------------------------------------------------------


def test_one_run_brings_a_bare_host_to_an_answered_completion(
    bare: LabHost, first_deploy: tuple[Result, int]
) -> None:
    ran, boots_before = first_deploy
    assert ran.exit_code == 0, ran.output
    assert not ran.failed
    assert bare.boots == boots_before + 1, "the driver needs exactly one reboot"
    assert "KV cache: 262,144 tokens predicted, 262,144 tokens measured" in ran.output, ran.output
    # The whole sentence: every shard arrived, was verified, and was read as 4-bit weights.
    assert answer(bare) == SENTENCE


def test_the_host_tests_pass_after_the_deploy(converged: LabHost) -> None:
    ran = host_tests()
    assert ran.exit_code == 0, ran.output
    skipped = [line for line in ran.output.splitlines() if line.startswith("SKIPPED")]
    assert all("there is no card to measure" in line for line in skipped), ran.output


def test_a_second_run_changes_nothing_and_fetches_nothing(converged: LabHost) -> None:
    log_before = hub_process.access_log().read_text()
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert (ran.changed, ran.failed) == ({}, {})
    assert len(ran.unchanged) > 15
    assert hub_process.access_log().read_text() == log_before


def test_a_look_without_touching_says_that_nothing_would_change(converged: LabHost) -> None:
    ran = subprocess.run(
        ["bash", "-c", ".venv/bin/python -m pyinfra --dry inventory/lab.py deploy.py"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "(lab1)" not in ran.stdout + ran.stderr


def test_after_a_reboot_the_host_is_right_without_a_deploy(converged: LabHost) -> None:
    converged.reboot()
    wait_until_it_answers(converged)
    ran = host_tests()
    assert ran.exit_code == 0, ran.output
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output


# --- Put right ------------------------------------------------------------------------------------


def test_a_cap_set_by_hand_is_found_by_the_host_tests_and_put_right_by_a_deploy(
    converged: LabHost,
) -> None:
    converged.ssh("nvidia-smi --id=1 --power-limit=300", check=True)
    found = host_tests("-k", "capped")
    assert found.exit_code == 1
    assert "GPU 1 is capped at 300.00 W; expected 400 W" in found.output
    ran = deploy()
    assert list(ran.changed) == ["Power | Cap every card at 400 W"]
    assert host_tests("-k", "capped").exit_code == 0


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


# --- Cut anywhere ---------------------------------------------------------------------------------


def test_a_run_cut_anywhere_converges_on_the_next(converged: LabHost) -> None:
    """Undone down to the driver, then the controller dies in one stage after another."""
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
        "Engine | Install vLLM",
        "Snapshot | Fetch and verify",
        "Power | Cap every card",
        "Service | Write the unit",
        "Service | Run what",
        "Gate | Wait",
    ):
        deploy_killed_in(stage)
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert answer(converged) == SENTENCE
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert host_tests().exit_code == 0
    leftovers = converged.ssh(
        "find / -xdev \\( -name '*.fortyninety-new' -o -name '.partial-*' \\) -print", check=True
    )
    assert leftovers.stdout == ""


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
def pair(converged: LabHost) -> list[LabHost]:
    """Two hosts that start as the converged one is, with one card each so that both fit here."""
    save_converged(converged)
    hosts.down()
    return start_converged(2)


def test_two_hosts_deploy_side_by_side_and_the_failure_of_one_leaves_the_other_right(
    pair: list[LabHost],
) -> None:
    good, bad = pair
    # A cap, and a flag that the service is to be restarted for afterwards.
    changed = ("--data", "power_limit=350", "--data", "max_num_seqs=2")
    gpu.fail(bad.name, gpu.Call.SET_POWER_LIMIT)
    bad.ssh("systemctl restart fortyninety-power-limit.service")
    ran = deploy(*changed)
    assert ran.exit_code != 0
    # What follows the failure is not done on that host, which pyinfra counts as failed too.
    assert next(iter(ran.failed)) == "Power | Cap every card at 350 W", ran.output
    assert all(names == [bad.name] for names in ran.failed.values()), ran.output
    assert "Failed to set power management limit" in ran.output
    assert answer(good) == SENTENCE
    assert gpu.power_limit_watts(good.name, 0) == 350
    assert ran.changed["Service | Run what the unit on disk says"] == [good.name]

    gpu.repair(bad.name)
    ran = deploy(*changed)
    assert ran.exit_code == 0, ran.output
    assert gpu.power_limit_watts(bad.name, 0) == 350
    assert answer(bad) == SENTENCE
    assert all(bad.name in names for names in ran.changed.values())
    assert not any(good.name in names for names in ran.changed.values())
