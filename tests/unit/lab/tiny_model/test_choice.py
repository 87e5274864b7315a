"""Which tiny model a machine serves, and how another one is asked for."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from fortyninety.releases.release import lacking, load_release
from fortyninety.settings.defaults import ALL
from lab.errors import LabError
from lab.tiny_model import AWQ, PLAIN
from lab.tiny_model.choice import ENGINE, choose, processor_flags, suiting

# As the kernel prints it, shortened: the flags of a later processor are not looked at.
CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD Ryzen 9 5950X 16-Core Processor
flags\t\t: fpu sse2 avx avx2 f16c fma {more}
bugs\t\t: sysret_ss_attrs

processor\t: 1
flags\t\t: fpu avx512f avx512bw avx512dq avx512vl
"""


def test_awq_where_avx_512_is_and_else_the_plain_one_with_what_is_missing() -> None:
    needs = load_release(ENGINE).processor
    assert needs is not None
    with_it = processor_flags(CPUINFO.format(more="avx512f avx512bw avx512dq avx512vl"))
    assert suiting(with_it, needs).model is AWQ
    without = suiting(processor_flags(CPUINFO.format(more="")), needs)
    assert without.model is PLAIN
    assert without.reason == "this processor lacks avx512bw, avx512dq, avx512f, avx512vl"
    assert suiting(with_it - {"avx512vl"}, needs).reason == "this processor lacks avx512vl"


def test_a_processor_file_without_flags_has_none() -> None:
    assert processor_flags("processor\t: 0\nFeatures\t: fp asimd\n") == frozenset()


def test_either_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORTYNINETY_LAB_MODEL", "plain")
    assert choose(None).model is PLAIN
    assert "FORTYNINETY_LAB_MODEL" in choose(None).reason
    assert choose("awq").model is AWQ
    with pytest.raises(LabError, match="expected one of awq, plain"):
        choose("gguf")


def test_what_is_chosen_is_what_this_machine_has_the_kernels_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FORTYNINETY_LAB_MODEL", raising=False)
    needs = load_release(ENGINE).processor
    assert needs is not None
    flags = processor_flags(Path("/proc/cpuinfo").read_text())
    missing = lacking(flags, [*needs.quantization["awq"], *needs.fp8_kv_cache])
    assert choose(None).model is (PLAIN if missing else AWQ)


def test_the_choice_is_for_the_engine_that_lab_hosts_run() -> None:
    assert runpy.run_path(str(ALL.with_name("lab.py")))["engine"] == ENGINE
