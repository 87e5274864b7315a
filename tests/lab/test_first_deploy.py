"""The first deploy's whole story on one lab host: refused, from bare to answering, again, rebooted.

In the order of this file: each test starts from where the last one left the host. It serves the
plain model, which every machine can, and then the 4-bit one where the processor has its kernels.
"""

from __future__ import annotations

import json
import subprocess

import pytest

from fortyninety.checkout import ROOT
from fortyninety.plan.paths import TOOLKIT_ARCHIVES
from fortyninety.settings.defaults import default_setting
from lab import hosts
from lab.hosts import LabHost
from lab.hub import hub_process
from lab.inventory import model_data
from lab.question import ask
from lab.tiny_model import AWQ, PLAIN, SENTENCE
from lab.tiny_model.choice import choose
from tests.lab.asking import wait_until_it_answers
from tests.lab.converged_hosts import keep_converged
from tests.lab.deploys import (
    FINGERPRINT,
    NOT_IN_THE_LAB,
    Result,
    deploy,
    host_tests,
    not_shown_by,
    skipped,
)

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]


@pytest.fixture(scope="module")
def bare(lab: None) -> LabHost:
    """A host as its installer left it."""
    del lab
    (host,) = hosts.up(1, model=PLAIN.name)
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


def as_data(**settings: object) -> list[str]:
    """pyinfra's arguments for settings of one run; texts as a shell hands them over."""
    values = (value if isinstance(value, str) else json.dumps(value) for value in settings.values())
    pairs = zip(settings, values, strict=True)
    return [word for key, value in pairs for word in ("--data", f"{key}={value}")]


# --- Refused: nothing is changed on any host ------------------------------------------------------


# What is wrong by itself, together with the engine, and together with the host: said at once each.
REFUSED = {
    "settings": {
        "power_limit=400W": "power_limit is '400W'; expected a whole number of at least 1",
        "power_limt=400": "power_limt is 400; expected no such setting; did you mean power_limit",
        "model_revision=main": "model_revision is 'main'; expected a full commit hash",
        "models_directory=models": "models_directory is 'models'; expected an absolute path",
        "driver_branch=535": "driver_branch is 535; expected a whole number from 550",
        "kv_cache_dtype=int8": "kv_cache_dtype is 'int8'; expected one of 'auto', 'fp8'",
    },
    "engine": {
        "engine=0.99.0": "engine is '0.99.0'; expected one of 0.6.3.post1, 0.8.5.post1, 0.32.0, ",
    },
    "cards": {
        "power_limit=9000": "power_limit is 9000 W; expected from 150 to 600 W",
    },
    "host": {
        "gpu_count=4": "gpu_count is 2; expected 4",
        "tensor_parallel_size=4": "tensor_parallel_size is 4; expected at most the 2 cards",
        "gpu_model=NVIDIA GeForce RTX 4090 D": "gpu_model is 'NVIDIA GeForce RTX 4090'; expected",
        "allow_non_nvme=false": "models_directory is on ",
        "port=22222": "port 22222 is taken: LISTEN",
        "quantization=awq_marlin": "quantization is 'awq_marlin'; expected None",
    },
}


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
def test_a_run_that_cannot_succeed_is_refused_with_every_reason_and_changes_nothing(
    bare: LabHost, wrong: dict[str, str]
) -> None:
    # A listener that is not ours; there from before the first look at the disk.
    bare.ssh(
        "systemctl is-active --quiet squatter || systemd-run --quiet --unit=squatter "
        "python3 -m http.server --bind 127.0.0.1 22222"
    )
    before = bare.ssh(FINGERPRINT, check=True).stdout
    ran = deploy(*(word for each in wrong for word in ("--data", each)))
    assert ran.exit_code != 0
    reasons = f"{len(wrong)} reason{'' if len(wrong) == 1 else 's'}"
    assert f"Refused: nothing was changed on any host, for {reasons}" in ran.output, ran.output
    for message in wrong.values():
        assert f"lab1: {message}" in ran.output
    assert "Traceback" not in ran.output
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


def test_4_bits_on_a_processor_without_the_kernels_are_refused_before_anything(
    bare: LabHost,
) -> None:
    """With the flags of a processor that has AVX2, whatever this one has."""
    before = bare.ssh(FINGERPRINT, check=True).stdout
    bare.ssh(
        "sed 's/ avx512[^ ]*//g; s/ amx[^ ]*//g' /proc/cpuinfo > /run/cpuinfo && "
        "mount --bind /run/cpuinfo /proc/cpuinfo",
        check=True,
    )
    wished = {"quantization": "awq_marlin", "kv_cache_dtype": "fp8", **model_data(AWQ)}
    ran = deploy(*as_data(**wished))
    bare.ssh("umount /proc/cpuinfo", check=True)
    assert "Refused: nothing was changed on any host, for 2 reasons" in ran.output, ran.output
    assert "lab1: quantization is 'awq_marlin' on " in ran.output
    assert "(without avx512bw, avx512dq, avx512f, avx512vl)" in ran.output
    assert "lab1: kv_cache_dtype is 'fp8' on " in ran.output
    assert "Set kv_cache_dtype = 'auto', or use a processor with AVX-512" in ran.output
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


def test_a_model_too_large_for_the_cards_is_refused_with_the_arithmetic_before_a_byte_is_fetched(
    bare: LabHost,
) -> None:
    before, asked = bare.ssh(FINGERPRINT, check=True).stdout, hub_process.access_log().read_text()
    ran = deploy(
        *("--data", "engine=0.8.5.post1", "--data", "tensor_parallel_size=1"),
        *("--data", f"model_repository={default_setting('model_repository')}"),
        *("--data", f"model_revision={default_setting('model_revision')}"),
        *("--data", "quantization=awq_marlin", "--data", "kv_cache_dtype=fp8"),
    )
    assert ran.exit_code != 0
    assert "lab1: memory is too small: a card's budget is 22.45 GiB" in ran.output, ran.output
    assert "What would fit:" in ran.output
    # The hub may have been asked what there is, but for no file of it.
    assert "/resolve/" not in hub_process.access_log().read_text().removeprefix(asked)
    assert bare.ssh(FINGERPRINT, check=True).stdout == before


# --- From bare to answering -----------------------------------------------------------------------


def test_one_run_brings_a_bare_host_to_an_answered_completion(
    bare: LabHost, first_deploy: tuple[Result, int]
) -> None:
    ran, boots_before = first_deploy
    assert ran.exit_code == 0, ran.output
    assert not ran.failed
    assert bare.boots == boots_before + 1, "the driver needs exactly one reboot"
    # 128 MiB at 4 layers x 2 x 1 head x 64 x 2 bytes on each of two workers.
    assert "KV cache: 131,072 tokens predicted, 131,072 tokens measured" in ran.output, ran.output
    # The whole sentence: every shard arrived, was verified, and was read.
    assert ask(bare, "Say hello.") == (PLAIN.repository, SENTENCE)


def test_the_toolkit_was_fetched_ahead_and_nothing_of_that_stays(converged: LabHost) -> None:
    log = converged.ssh("journalctl -t fortyninety-toolkit -o cat", check=True).stdout
    assert "Download complete and in download only mode" in log, log
    assert converged.ssh(f"ls -a {TOOLKIT_ARCHIVES}").stdout == ""


def test_the_host_tests_pass_after_the_deploy(converged: LabHost) -> None:
    ran = host_tests()
    assert ran.exit_code == 0, ran.output
    # What only the 4-bit model shows is looked at further down.
    assert skipped(ran, *NOT_IN_THE_LAB, *not_shown_by(converged)) == []


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
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "(lab1)" not in ran.stdout + ran.stderr


# --- Another model, and a reboot ------------------------------------------------------------------


@pytest.fixture(scope="module")
def four_bits(converged: LabHost) -> LabHost:
    """The host, to serve the 4-bit model with an fp8 KV cache from the next deploy on."""
    choice = choose(None)
    if choice.model is not AWQ:
        pytest.skip(f"the 4-bit model is not served here: {choice.reason}")
    (host,) = hosts.up(1, model=AWQ.name)
    return host


def test_another_model_is_served_after_one_run_and_the_4_bit_weights_are_read(
    four_bits: LabHost,
) -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    stages = {name.partition(" | ")[0] for name in ran.changed}
    assert stages == {"Ahead", "Snapshot", "Service", "Gate"}
    # Half the bytes a token.
    assert "KV cache: 262,144 tokens predicted, 262,144 tokens measured" in ran.output, ran.output
    assert ask(four_bits, "Say hello.") == (AWQ.repository, SENTENCE)


def test_the_engine_says_that_it_took_the_4_bit_flags(four_bits: LabHost) -> None:
    ran = host_tests("-k", "flag")
    assert ran.exit_code == 0, ran.output
    assert skipped(ran) == []


def test_after_a_reboot_the_host_is_right_without_a_deploy(converged: LabHost) -> None:
    converged.reboot()
    wait_until_it_answers(LabHost.read(converged.name))
    ran = host_tests()
    assert ran.exit_code == 0, ran.output
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output


def test_the_host_is_kept_for_the_modules_that_start_from_it(
    converged: LabHost, request: pytest.FixtureRequest
) -> None:
    if request.session.testsfailed:
        pytest.skip("the story did not go well: a module that needs such a host makes its own")
    keep_converged(LabHost.read(converged.name))
    assert hosts.hosts() == []
