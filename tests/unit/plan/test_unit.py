"""The unit for the 70B, word for word."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fortyninety.engine.command_line import FlagAbsent
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.plan.unit import configuration, service_unit
from fortyninety.releases.release import Release, known_releases, load_release
from tests.unit.readings import RTX_4090, bare_host, settings

MODEL = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"
SNAPSHOT = (
    "/srv/models/Meta-Llama-3.1-70B-Instruct-AWQ-INT4/2123003760781134cfc31124aa6560a45b491fdf"
)


def plan(cards: int = 2, release: Release | None = None, **changes: Any) -> Plan:
    chosen = settings(**changes)
    reading = bare_host(cards__devices=[RTX_4090] * cards)
    return make_plan(chosen, release or load_release(chosen.engine), reading)


def exec_start(unit: str) -> list[str]:
    (line,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    return shlex.split(line.replace("\\\n", " "))


def test_the_70b_is_served_with_exactly_these_arguments() -> None:
    program, *arguments = exec_start(service_unit(plan()))
    assert re.fullmatch(r"/opt/fortyninety/engines/0\.8\.5\.post1-[0-9a-f]{12}/bin/python", program)
    assert arguments == [
        *("-m", "vllm.entrypoints.openai.api_server"),
        *("--model", SNAPSHOT),
        *("--served-model-name", MODEL),
        *("--quantization", "awq_marlin"),
        *("--kv-cache-dtype", "fp8"),
        *("--max-model-len", "16384"),
        *("--max-num-seqs", "4"),
        *("--max-num-batched-tokens", "2048"),
        "--enable-chunked-prefill",
        *("--max-seq-len-to-capture", "16384"),
        "--enable-prefix-caching",
        *("--gpu-memory-utilization", "0.95"),
        *("--tensor-parallel-size", "2"),
        *("--host", "127.0.0.1"),
        *("--port", "8000"),
        "--disable-log-requests",
        # 4090s have no peer-to-peer, and there are two.
        "--disable-custom-all-reduce",
        # The release pins 4 GiB of the host's memory for each card otherwise, and never uses it.
        *("--swap-space", "0"),
    ]


@pytest.mark.parametrize(
    ("engine", "changes", "flag", "variable"),
    [
        ("0.6.3.post1", {}, None, "XFORMERS"),
        ("0.8.5.post1", {}, None, "XFORMERS"),
        ("0.8.5.post1", {"kv_cache_dtype": "auto"}, None, None),
        ("0.8.5.post1", {"attention_backend": "FLASH_ATTN"}, None, "FLASH_ATTN"),
        ("0.32.0", {}, "TRITON_ATTN", None),
        ("0.32.0", {"kv_cache_dtype": "auto"}, None, None),
        ("0.32.0-cpu", {}, None, None),
    ],
)
def test_the_attention_backend_is_said_in_the_releases_own_way(
    engine: str, changes: dict[str, Any], flag: str | None, variable: str | None
) -> None:
    unit = service_unit(plan(engine=engine, **changes))
    arguments = exec_start(unit)
    found = (
        arguments[arguments.index("--attention-backend") + 1]
        if "--attention-backend" in arguments
        else None
    )
    assert found == flag
    line = f"Environment=VLLM_ATTENTION_BACKEND={variable}"
    assert (line in unit) if variable else ("VLLM_ATTENTION_BACKEND" not in unit)


def test_no_release_samples_by_a_library_that_compiles_as_the_engine_starts() -> None:
    # 0.32.0 has FlashInfer, which wants nvcc and ninja on the unit's path: it did not start.
    assert "Environment=VLLM_USE_FLASHINFER_SAMPLER=0" in service_unit(plan(engine="0.32.0"))


def test_further_arguments_come_last_and_as_they_are() -> None:
    arguments = exec_start(service_unit(plan(engine_arguments=["--seed", "1"])))
    assert arguments[-2:] == ["--seed", "1"]


@pytest.mark.parametrize("cards", [1, 2, 4])
def test_the_model_is_split_over_all_the_cards_there_are(cards: int) -> None:
    arguments = exec_start(service_unit(plan(cards)))
    assert arguments[arguments.index("--tensor-parallel-size") + 1] == str(cards)


def test_the_cpu_engine_takes_the_same_arguments_but_for_marlin() -> None:
    on_cards = exec_start(service_unit(plan()))
    on_cpu = exec_start(service_unit(plan(engine="0.32.0-cpu")))
    start = on_cpu.index("--model")
    expected = ["awq" if word == "awq_marlin" else word for word in on_cards[3:]]
    # It logs no prompts unless asked to, and has no flag for what is its default.
    expected.remove("--disable-log-requests")
    # And no cards that would have to reach each other.
    expected.remove("--disable-custom-all-reduce")
    # It cuts prompts and captures every length as it is, and swaps nothing out.
    expected.remove("--enable-chunked-prefill")
    for flag in ("--max-seq-len-to-capture", "--swap-space"):
        del expected[(at := expected.index(flag)) : at + 2]
    assert on_cpu[start:] == [*expected, *load_release("0.32.0-cpu").extra_arguments]


@pytest.mark.parametrize("release", ["0.6.3.post1", "0.8.5.post1", "0.32.0", "0.33.0"])
def test_prefix_caching_that_is_off_is_off(release: str) -> None:
    """Later releases cache unless told not to: without a flag others' prompts can be told."""
    arguments = exec_start(service_unit(plan(enable_prefix_caching=False, engine=release)))
    assert "--enable-prefix-caching" not in arguments
    assert ("--no-enable-prefix-caching" in arguments) == (release != "0.6.3.post1")
    on = exec_start(service_unit(plan(engine=release)))
    assert "--no-enable-prefix-caching" not in on


def test_a_flag_that_the_release_lacks_is_an_error_and_not_left_out() -> None:
    release = load_release("0.8.5.post1")
    without = release.model_copy(update={"flags": {**release.flags, "kv_cache_dtype": None}})
    with pytest.raises(FlagAbsent, match="no flag for kv_cache_dtype"):
        plan(release=without)


def test_another_setting_is_another_configuration() -> None:
    assert configuration(plan()) == configuration(plan())
    assert configuration(plan()) != configuration(plan(max_num_seqs=8))
    assert configuration(plan()) != configuration(plan(engine="0.32.0-cpu"))
    assert configuration(plan()) != configuration(plan(service_user="engine"))


def test_the_running_process_carries_the_configuration_of_its_unit() -> None:
    made = plan()
    assert f"Environment=FORTYNINETY_CONFIGURATION={configuration(made)}" in service_unit(made)


@pytest.mark.parametrize("release", known_releases())
def test_every_engine_has_a_card_and_a_hashed_lock_of_its_version(release: str) -> None:
    known = load_release(release)
    lock = known.lock_path.read_text()
    assert re.search(rf"^{re.escape(known.distribution)}===", lock, re.MULTILINE)
    assert "--index-url" not in lock and "://" not in lock


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    # The program and the user need not exist here: only the unit's own text is checked.
    text = re.sub(r"^(User|Group)=.*\n", "", service_unit(plan()), flags=re.MULTILINE)
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
    unit = tmp_path / "vllm.service"
    unit.write_text(text)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(unit.name) not in checked.stderr.replace("fortyninety-power-limit.service", "")


def test_an_engine_that_dies_is_never_given_up_and_says_why_it_died() -> None:
    lines = service_unit(plan()).splitlines()
    assert "StartLimitIntervalSec=0" in lines
    says = "-+/opt/fortyninety/bin/engine-failure --unit vllm.service"
    assert f"ExecStopPost={says} --ending" in lines
    assert f"ExecStartPost={says} --before" in lines


def test_the_unit_has_no_packets_but_those_of_who_may_reach_the_engine() -> None:
    unit = service_unit(plan())
    assert re.findall(r"^IPAddress.*", unit, re.MULTILINE) == [
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
    ]
    assert "IPAddress" not in service_unit(plan(listen_address="0.0.0.0"))


def test_the_processes_of_one_box_meet_on_loopback_whatever_the_release() -> None:
    for release in known_releases():
        environment = dict(plan(release=load_release(release)).environment)
        assert environment["VLLM_HOST_IP"] == "127.0.0.1"
        assert environment["NCCL_SOCKET_IFNAME"] == environment["GLOO_SOCKET_IFNAME"] == "lo"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("changes", [{}, {"listen_address": "0.0.0.0"}], ids=str)
def test_systemd_finds_little_that_the_unit_may_do(tmp_path: Path, changes: dict[str, Any]) -> None:
    unit = tmp_path / "vllm.service"
    unit.write_text(service_unit(plan(**changes)))
    analyzed = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=15", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert analyzed.returncode == 0, analyzed.stdout + analyzed.stderr
