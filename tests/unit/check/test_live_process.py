"""The process that serves, as the host tests see it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.host.live_process import LiveProcess, without_secrets


def process(arguments: list[str], **unit: str) -> LiveProcess:
    """A service with one process."""
    main: dict[str, Any] = {"pid": 7, "arguments": arguments, "environment": {}}
    return LiveProcess({"MainPID": "7", **unit}, (main,), False)


def test_the_last_of_a_flag_given_twice_counts_and_both_are_seen() -> None:
    given = process(["/e/bin/vllm", "serve", "--port", "8000", "--port=9000"])
    assert given.argument("--port") == "9000"
    assert given.values("--port") == ["8000", "9000"]
    assert given.argument("--host") is None
    assert given.directory == "/e"


def test_in_a_cell_the_engine_is_what_its_program_runs() -> None:
    given = process(
        ["/e/bin/python", "/o/cell-member", "--cell", "a", "--", "/e/bin/vllm", "--port", "1"]
    )
    assert given.arguments == ["/e/bin/vllm", "--port", "1"]


def test_what_systemd_would_start_is_read_from_its_own_words() -> None:
    shown = "{ path=/e/bin/vllm ; argv[]=/e/bin/vllm serve --a b ; ignore_errors=no ; pid=7 }"
    assert process(["x"], ExecStart=shown).exec_start == ["/e/bin/vllm", "serve", "--a", "b"]


def test_a_service_without_a_process_says_what_it_is_instead() -> None:
    stopped = LiveProcess(
        {"MainPID": "0", "ActiveState": "failed", "LoadState": "masked"}, (), False
    )
    with pytest.raises(AssertionError, match=r"has no process: it is failed/None \(masked\)"):
        _ = stopped.main


@pytest.mark.parametrize(
    "words", [["--api-key", "hunter2"], ["--hf-token=hunter2"], ["VLLM_API_KEY=hunter2"]]
)
def test_a_message_has_no_secret_of_a_command_line(words: list[str]) -> None:
    shown = without_secrets(["vllm", "--port", "8000", *words, "--max-model-len", "1"])
    assert "hunter2" not in shown
    assert "--port 8000" in shown and "--max-model-len 1" in shown
