"""An answer of a host is a reading or is named as none; never a part of one, nor a traceback."""

from __future__ import annotations

import pytest

from fortyninety.facts.archives import UnreachableArchives
from fortyninety.facts.completion import Completion
from fortyninety.facts.kv_cache import KvCache, read_kv_cache
from fortyninety.plan.preflight import host_problems
from fortyninety.survey.boot_kernel import boot_entry_kernel
from fortyninety.survey.fact import Survey
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import SurveyRequest
from tests.unit.readings import records, settings


def read(*more: str, without: str = "\0") -> HostReading:
    return Survey().process(records(*more, without=without))


def test_a_bare_hosts_records_are_a_reading() -> None:
    assert read().unreadable is None


@pytest.mark.parametrize(
    ("records_of", "said"),
    [
        pytest.param(["leftover\t/home"], "'/home' is not what a fetch left", id="path"),
        pytest.param(["environment\t/etc\tcut"], "'/etc' is not an environment", id="environment"),
        pytest.param([f"commit\t../{'a' * 37}"], "is not a commit", id="commit"),
        pytest.param([f"served\t{'0' * 16}\t-1\t"], "'-1' is not a number", id="negative"),
        pytest.param([f"served\t{'0' * 16}\t{'9' * 5000}\t"], "is not a number", id="huge number"),
        pytest.param(["running\t$(id)"], "'$(id)' is not a configuration", id="configuration"),
        pytest.param(
            ["package\ta;b\t1\tinstall\tinstalled"], "'a;b' is not a package", id="package"
        ),
        pytest.param(["package\ta\t1"], "has 2 fields; expected 4", id="field too few"),
        pytest.param(["package\ta\t1\ti\ti\ti"], "has 5 fields; expected 4", id="field too many"),
        pytest.param(["kernel\t6.1\n\t"], "is not a kernel's release", id="line end"),
        pytest.param(["kernel\t6.1 x\t"], "is not a kernel's release", id="blank"),
        pytest.param(["gpu-error\t\x1b[2J"], r"'\x1b[2J' is not a line of text", id="escape"),
        pytest.param(["gpu-error\ta", "gpu-error\tb"], "2 records of kind 'gpu-error'", id="two"),
        pytest.param(
            ["kernel\t6.1\t", "kernel\t6.1\t1"], "two records of kind 'kernel'", id="same"
        ),
        pytest.param(["root\tyes"], "is of a kind that nobody asked for", id="kind"),
        pytest.param(["loaded\t550.\u0661"], "is not a driver's version", id="other digits"),
        pytest.param(["address\teth0\t1.2.3.999"], "an address that is none", id="address"),
        pytest.param(["unit\tId=a", "unit\tId=b"], "two properties 'Id'", id="unit"),
        pytest.param(["gpu\t0, x"], "expected what nvidia-smi prints of one", id="card"),
        pytest.param(["socket\t8000\t1\tmine"], "'mine' is not service or other", id="owner"),
        pytest.param(["end"], "after its end there is 'end'", id="two ends"),
        pytest.param(["nouveau"] * 20_001, "more than 20,000 records", id="many"),
        pytest.param([f"boot-entries\t{'[' * 4_000_000}"], "4,000,000 characters", id="long"),
    ],
)
def test_a_record_that_is_none_makes_the_reading_unreadable_and_is_quoted(
    records_of: list[str], said: str
) -> None:
    state = read(*records_of)
    assert not state.readable
    assert state.unreadable and said in state.unreadable, state.unreadable
    assert len(state.unreadable) < 500
    assert state.unreadable.isprintable()
    (problem,) = host_problems("box1", settings(), state)
    assert "box1: survey is " in str(problem)


def test_a_reading_that_was_cut_off_is_none() -> None:
    assert Survey().process(records()[:-1]).unreadable == (
        "a reading that was cut off after 12 records"
    )
    for kind in ("os", "machine", "boot", "user", "begun", "filesystem"):
        assert f"0 records of kind {kind!r}" in (read(without=kind).unreadable or "")


def test_what_a_shell_says_before_the_survey_is_not_part_of_it() -> None:
    assert Survey().process(["Welcome!", "leftover\t/home", *records()]).unreadable is None


def test_a_file_that_nobody_asked_for_is_not_read() -> None:
    asked = Survey()
    asked.command(SurveyRequest(("/a",), (), (), 1, "s", "u", "/m/c", "/m", "/i"))
    assert asked.process(records("stat\t/a\tregular file\t644\troot\troot")).files.keys() == {"/a"}
    other = asked.process(records("stat\t/b\tregular file\t644\troot\troot"))
    assert other.unreadable == "a file '/b', which nobody asked for"


@pytest.mark.parametrize(
    "listing",
    [
        "[" * 100_000,
        '{"a": 1}',
        '[1, null, {"isDefault": 1, "linux": [], "version": 7}]',
        "9" * 9999,
    ],
)
def test_a_boot_loaders_list_that_is_none_names_no_kernel(listing: str) -> None:
    assert boot_entry_kernel(listing) is None


@pytest.mark.parametrize(
    "printed",
    [
        "[" * 100_000,
        "[]",
        "null",
        '{"answer": 1}',
        '{"tokens": "x"}',
        '{"tokens": 1e999}',
        "9" * 9999,
    ],
)
def test_an_answer_that_is_no_completion_is_an_error_in_words(printed: str) -> None:
    found = Completion().process([printed])
    assert found.answer is None
    assert found.error and found.error.startswith("the asking program printed ")
    assert found.error.isprintable()


def test_an_answer_is_shown_without_what_a_terminal_would_obey() -> None:
    found = Completion().process([r'{"answer": null, "error": "\u001b]0;x\u0007\u202e\ud800"}'])
    assert found.error == r"\x1b]0;x\x07\u202e\ud800"


@pytest.mark.parametrize("tokens", [",", "9" * 5000, "1,,,"])
def test_an_engines_log_that_counts_no_tokens_counts_none(tokens: str) -> None:
    lines = [f"GPU KV cache size: {tokens} tokens"]
    concurrency = "Maximum concurrency for 1 tokens per request: 1.2.3x"
    pattern = {"kv_tokens": r"GPU KV cache size: ([\d,]+) tokens"}
    found = read_kv_cache([*lines, concurrency], pattern)
    assert found in (None, KvCache(1, None))


def test_only_archives_that_were_asked_for_are_out_of_reach() -> None:
    asked = UnreachableArchives()
    asked.command(["http://a.example/ x"])
    found = asked.process(["http://a.example/ x\t\x1b[2Jgone", "http://b.example/ x\tgone", "x"])
    assert found == {"http://a.example/ x": r"\x1b[2Jgone"}
