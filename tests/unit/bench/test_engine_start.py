"""An engine's start taken apart, by logs that engines wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.engine_start import JOURNAL, PHASES, Start, main, starts_of
from fortyninety.checkout import ROOT

MEASURED = ROOT / "docs/measured"
STARTS = MEASURED / "engine-starts.log"


def _starts() -> dict[str, Start]:
    return {start.name: start for start in starts_of(STARTS.read_text().splitlines(), "log")}


@pytest.mark.parametrize(
    ("name", "release", "phases", "total"),
    [
        # Of each its whole log was kept, and these differences of its times were taken by hand.
        (
            "0.8.5.post1-two-cards",
            "0.8.5.post1",
            {"model looked at": 6, "engine's process": 7, "workers": 7, "weights": 2}
            | {"memory profile": 7, "graphs": 4, "server": 0},
            33,
        ),
        (
            "0.32.0-two-cards-first",
            "0.32.0",
            {"model looked at": 19, "engine's process": 23, "workers": 22, "weights": 6}
            | {"compiling": 48, "memory profile": 31, "graphs": 17, "server": 4},
            170,
        ),
        (
            "0.32.0-weights-later-nothing-in-memory",
            "0.32.0",
            {"imports": 16.5, "model looked at": 0, "engine's process": 16.1, "workers": 1.4}
            | {"weights": 23.2, "compiling": 1.3, "memory profile": 4.1, "graphs": 2.5}
            | {"server": 5.6, "first completion": 0.2},
            70.9,
        ),
    ],
)
def test_a_start_is_taken_apart(
    name: str, release: str, phases: dict[str, float], total: float
) -> None:
    start = _starts()[name]
    assert (start.release, start.phases, start.total) == (release, phases, total)
    assert start.from_unit == ("imports" in phases)


def test_what_the_engine_says_of_itself_is_read_beside_it() -> None:
    said = _starts()["0.32.0-two-cards-first"].said
    # The longest of two ranks.
    assert said["compiled"] == 47.83
    assert said["model loaded"] == 6.235499
    assert said["engine set up"] == 96.15


@pytest.mark.parametrize("log", sorted(MEASURED.glob("vllm-*.log")), ids=lambda log: log.stem)
def test_the_phases_of_every_recorded_start_follow_each_other(log: Path) -> None:
    starts = starts_of(log.read_text().splitlines(), log.stem)
    assert starts
    for start in (*starts, *_starts().values()):
        assert list(start.phases) == [phase for phase in PHASES if phase in start.phases]
        assert all(seconds >= 0 for seconds in start.phases.values())
        assert sum(start.phases.values()) == pytest.approx(start.total, abs=1)
        assert start.total < 600


def _journal(began: int) -> list[str]:
    def line(after: float, who: str, what: str) -> str:
        return f"{began + after:.6f} lab1 {who}: {what}"

    return [
        line(0, "systemd[1]", "Starting vllm.service - vLLM serving a model..."),
        line(1, "systemd[1]", "Started vllm.service - vLLM serving a model."),
        line(7.25, "python[9]", "INFO 11-28 00:00:00 [api.py:1] non-default args: {'port': 8000}"),
        line(9.75, "python[9]", "INFO 11-28 00:00:00 [core.py:1] Initializing a V1 LLM engine"),
    ]


def test_a_journal_has_a_start_for_each_of_the_unit() -> None:
    asked = '1000.500000 lab1 python[9]: INFO: "POST /v1/completions HTTP/1.1" 200 OK'
    asked = asked.replace("1000.5", "1700000012.5")
    first, second = starts_of([*_journal(1700000000), asked, *_journal(1700000500)], "lab1")
    assert first.phases == {"imports": 7.2, "engine's process": 2.5, "first completion": 2.8}
    assert (first.total, first.name) == (12.5, "lab1")
    # It was not asked yet, and what is missing is not made up.
    assert second.phases == {"imports": 7.2, "engine's process": 2.5}
    assert (second.total, second.name) == (9.8, "lab1 2")


def test_only_the_first_completion_counts() -> None:
    asked = [
        f'170000{after:04d}.000000 lab1 python[9]: INFO: "POST /v1/completions HTTP/1.1" 200 OK'
        for after in (20, 900)
    ]
    (start,) = starts_of([*_journal(1700000000), *asked], "lab1")
    assert start.total == 20


def test_a_start_may_see_the_new_year_in() -> None:
    lines = [
        "INFO 12-31 23:59:50 [api_server.py:1] vLLM API server version 0.8.5.post1",
        "INFO 01-01 00:00:20 [llm_engine.py:240] Initializing a V0 LLM engine (v0.8.5.post1)",
        "INFO 01-01 00:00:30 [model_runner.py:1] Starting to load model m",
    ]
    (start,) = starts_of(lines, "log")
    assert start.phases == {"engine's process": 30, "workers": 10}
    assert start.total == 40


def test_a_rank_that_is_behind_takes_no_time_away() -> None:
    lines = [
        "INFO 11-28 00:00:00 [api_server.py:1] vLLM API server version 0.8.5.post1",
        "INFO 11-28 00:00:05 [llm_engine.py:240] Initializing a V0 LLM engine (v0.8.5.post1)",
        "INFO 11-28 00:00:20 [monitor.py:62] torch.compile took 9.0 s in total",
        "INFO 11-28 00:00:30 [model_runner.py:1140] Model loading took 18 GiB and 2.5 seconds",
        "INFO 11-28 00:00:40 [worker.py:287] Memory profiling takes 6.19 seconds",
    ]
    (start,) = starts_of(lines, "log")
    phases = {"engine's process": 5, "weights": 25, "compiling": 0, "memory profile": 10}
    assert (start.phases, start.total) == (phases, 40)


@pytest.mark.parametrize(
    "text", ["", "nothing of an engine\n", "INFO 13-99 99:99:99 [a.py:1] took"]
)
def test_a_log_without_a_start_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.log").write_text(text)
    ran = CliRunner().invoke(main, [str(tmp_path / "other.log")])
    assert ran.exit_code == 1
    assert "no start of an engine" in ran.output


class _Host:
    """A lab host of which nothing is asked but its journal."""

    name = "lab1"

    def ssh(self, command: str, **_: object) -> subprocess.CompletedProcess[str]:
        assert command == JOURNAL
        return subprocess.CompletedProcess(command, 0, "\n".join(_journal(1700000000)), "")


def test_a_lab_host_s_journal_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.hosts.hosts", lambda: [_Host()])
    (start,) = json.loads(CliRunner().invoke(main, ["--host", "lab1", "--json"]).output)
    assert (start["name"], start["total"]) == ("lab1", 9.8)
    refused = CliRunner().invoke(main, ["--host", "lab2"])
    assert refused.exit_code == 2
    assert "lab2 is no lab host" in refused.output


def test_it_prints_a_table_or_json() -> None:
    shown = CliRunner().invoke(main, [str(STARTS)])
    assert shown.exit_code == 0
    assert "engine's process" in shown.output
    (*_, last) = json.loads(CliRunner().invoke(main, [str(STARTS), "--json"]).output)
    assert last["phases"]["first completion"] == 0.1
