"""What a failed gate shows: the cause in its first line, from logs that engines really printed.

The programs run as they do on a host, beside each other and under their installed names;
`systemctl` and `journalctl` are stand-ins that replay what was recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fortyninety.on_host import roll_back
from fortyninety.plan.programs import COMPLETE, ENGINE_FAILURE, archive, program

LOGS = Path(__file__).with_name("engine_logs")
NOW = "2" * 32
BEFORE = "1" * 32
# MESSAGE_IDs of systemd (sd-messages.h).
EXITED = "98e322203f7a4ed290d09fe03c09fe15"
FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
DEACTIVATED = "7ad2d189f7e94e70a38c781354912448"
# As journalctl does: the newest entry first, of the kernel or of the unit.
JOURNALCTL = """\
#!/bin/sh
case "$*" in
  *_TRANSPORT=kernel*) exec tac "$0.kernel" ;;
  *--unit=vllm.service*) exec tac "$0.unit" ;;
esac
echo "unexpected: $*" >&2
exit 1
"""
# What it says the first time, and ever after.
SYSTEMCTL = """\
#!/bin/sh
cat "$0.shown"
test ! -e "$0.later" || mv "$0.later" "$0.shown"
"""

Entry = dict[str, Any]


@dataclass
class Host:
    """A host on which the gate asks for a completion and nobody listens on the port."""

    directory: Path
    port: int
    entries: list[Entry]
    shown: dict[str, str]
    kernel: list[Entry]
    later: dict[str, str]

    def gate(self, *arguments: str, wait: str = "60") -> subprocess.CompletedProcess[str]:
        """Run the program that the gate runs."""
        return self._run(
            *("complete", "--port", str(self.port), "--model", "m"),
            *("--wait", wait, "--unit", "vllm.service", *arguments),
        )

    def diagnosis(self, *arguments: str) -> dict[str, Any]:
        """Return what the program that finds the cause prints."""
        ran = self._run("engine-failure", "--unit", "vllm.service", *arguments)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def replay(self) -> None:
        """Lay out what the stand-ins print."""
        for name, shown in (("shown", self.shown), ("later", {**self.shown, **self.later})):
            text = "".join(f"{key}={value}\n" for key, value in shown.items())
            (self.directory / f"systemctl.{name}").write_text(text)
        for name, entries in (("unit", self.entries), ("kernel", self.kernel)):
            text = "".join(f"{json.dumps(entry)}\n" for entry in entries)
            (self.directory / f"journalctl.{name}").write_text(text)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.replay()
        return subprocess.run(
            [sys.executable, str(self.directory / program), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host whose unit has ended and whose journal is still empty."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (programs / "complete").write_text(program(COMPLETE))
    (programs / "engine-failure").write_bytes(archive(ENGINE_FAILURE))
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    shown = {
        **{"ActiveState": "failed", "SubState": "failed", "InvocationID": NOW},
        **{"Result": "exit-code", "NRestarts": "0", "StatusText": ""},
    }
    # Bound and not listening: nobody else gets the port, and a connection is refused.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Host(programs, bound.getsockname()[1], [], shown, [], {})


def lines_of(ran: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a gate that failed.

    All of them are on standard error: pyinfra reads both outputs at once, and shows what came on
    standard output in a place of its own.
    """
    assert (ran.returncode, ran.stdout) == (1, ""), ran
    return ran.stderr.splitlines()


def said(*lines: str, invocation: str = NOW, time: int = 1) -> list[Entry]:
    """Entries of lines that the unit's processes wrote, as journalctl prints them."""
    return [
        {
            **{"MESSAGE": line, "_SYSTEMD_INVOCATION_ID": invocation},
            **{"__REALTIME_TIMESTAMP": str(time * 1_000_000), "_PID": "12"},
        }
        for line in lines
    ]


def systemd(message_id: str, invocation: str = NOW, time: int = 2, **fields: str) -> Entry:
    """An entry that systemd wrote about the unit."""
    return {
        **{"MESSAGE": "vllm.service: …", "MESSAGE_ID": message_id, "INVOCATION_ID": invocation},
        **{"UNIT": "vllm.service", "__REALTIME_TIMESTAMP": str(time * 1_000_000), "_PID": "1"},
        **fields,
    }


def exited(status: str = "1", code: str = "exited", **where: Any) -> list[Entry]:
    """What systemd says of a unit whose main process ended: a signal by its number, as 252 does."""
    result = "exit-code" if code == "exited" else "signal"
    return [
        systemd(EXITED, EXIT_CODE=code, EXIT_STATUS=status, **where),
        systemd(FAILED, UNIT_RESULT=result, **where),
    ]


def recorded(name: str) -> list[str]:
    """The lines of a recorded log, without the comment on where it comes from."""
    lines = (LOGS / name).read_text().splitlines()
    assert lines[0].startswith("# "), f"{name} does not say where it comes from"
    return [line for line in lines if not line.startswith("# ")]


SNAPSHOTS = "/srv/models/tiny-llama-awq-int4"
# Of each log how the cause begins, and what the remedy names, or None where there is none.
CAUSES: dict[str, tuple[str, str | None]] = {
    "awq-on-avx2": (
        "AttributeError: '_OpNamespace' '_C' object has no attribute 'cpu_gemm_wna16'",
        "not quantized",
    ),
    "cell-head": (
        "ending the engine: rank 1 (10.90.0.12) is gone: it ended the connection",
        "Another member of the cell",
    ),
    "cell-member": (
        "FileNotFoundError: Weight files referenced in index but missing: "
        f"{{'{SNAPSHOTS}/7c2e4d3b0e6f58192837465b6c7d8e9f00112233/model-00005-of-00006.safetensors'}}",
        "fortyninety snapshot verify",
    ),
    "context-too-long": (
        "ValueError: To serve at least one request with the model's max seq len (16384), (0.02 GiB "
        "KV cache is needed, which is larger than the available KV cache memory (0.0 GiB).",
        "max_model_len",
    ),
    "cuda-out-of-memory": (
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 434.00 MiB. GPU 0 has a total "
        "capacity of 79.18 GiB of which 350.56 MiB is free.",
        "max_num_batched_tokens",
    ),
    "cut-tokenizer": (
        "JSONDecodeError: Expecting ':' delimiter: line 345 column 10 (char 5884) "
        "(tokenization_utils_base.py, line 1909, in _from_pretrained)",
        "fortyninety snapshot verify",
    ),
    "driver-too-old": (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12040).",
        "driver_branch",
    ),
    "fp8-on-avx2": (
        "NotImplementedError: FP8 KV cache on CPU requires x86 with AVX-512 or AMX.",
        'kv_cache_dtype = "auto"',
    ),
    "missing-module": (
        "ModuleNotFoundError: No module named 'setuptools'",
        "fortyninety engine lock",
    ),
    "missing-shard": (
        "FileNotFoundError: Weight files referenced in index but missing: "
        f"{{'{SNAPSHOTS}/7c2e4d3b0e6f58192837465b6c7d8e9f00112233/model-00003-of-00006.safetensors'}}",
        "fortyninety snapshot verify",
    ),
    "missing-snapshot": (
        "HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': "
        f"'{SNAPSHOTS}/0000000000000000000000000000000000000000'.",
        "no such folder",
    ),
    "missing-tokenizer": (
        "ValueError: Couldn't instantiate the backend tokenizer from one of: (1) a `tokenizers` "
        "library serialization file,",
        "fortyninety snapshot verify",
    ),
    "no-compiler-of-cuda": (
        "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist",
        "VLLM_USE_FLASHINFER_SAMPLER",
    ),
    "no-memory-for-kv-blocks": (
        "ValueError: No available memory for the cache blocks.",
        "fortyninety fit",
    ),
    "no-memory-for-kv-blocks-0.8.5": (
        "ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization` when initializing the engine.",
        "fortyninety fit",
    ),
    "other-tokenizer": (
        "Exception: data did not match any variant of untagged enum ModelUntagged at line 686 "
        "column 1 (tokenization_utils_tokenizers.py, line ",
        "fortyninety snapshot verify",
    ),
    "out-of-memory": (
        "the kernel killed VLLM::Worker (pid 13359), which held 573 MiB, for want of memory",
        "free -m",
    ),
    "port-taken": ("OSError: [Errno 98] Address already in use", "ss -ltnp"),
    "unknown-flag": (
        "api_server.py: error: unrecognized arguments: --max-num-sequences",
        "engine_arguments",
    ),
    "unreadable-config": (
        "PermissionError: [Errno 13] Permission denied: "
        f"'{SNAPSHOTS}/b162817f142a39152536c7a81031425354c6e7f8/config.json'",
        "namei -l",
    ),
    "unreadable-interpreter": (
        "PermissionError: [Errno 13] Permission denied: "
        "'/opt/fortyninety/engines/0.32.0-cpu-04b6dd22f06c/bin/python'",
        "namei -l",
    ),
    "unreadable-shard": (
        "PermissionError: [Errno 13] Permission denied: "
        f"'{SNAPSHOTS}/a0517061e31928041425b697092031424b5d6e7f/model-00006-of-00006.safetensors'",
        "namei -l",
    ),
    "worker-killed": (
        "Worker proc VllmWorker-0 died unexpectedly (exit code: None), shutting down executor.",
        None,
    ),
    "wrong-quantization": (
        "ValidationError: Quantization method specified in the model config (awq) does not match "
        "the quantization method specified in the `quantization` argument (awq_marlin).",
        "Set quantization",
    ),
}
# These ended with exit code 0, of which systemd says no more than that the unit is inactive.
ENDED_WITH_0 = ("awq-on-avx2", "cuda-out-of-memory", "out-of-memory", "worker-killed")


def test_every_recorded_log_is_looked_at() -> None:
    assert {path.stem for path in LOGS.glob("*.log")} == set(CAUSES)


@pytest.mark.parametrize("log", CAUSES)
def test_the_cause_is_the_first_line_of_all(host: Host, log: str) -> None:
    cause, remedy = CAUSES[log]
    ending = [systemd(DEACTIVATED)] if log in ENDED_WITH_0 else exited()
    host.entries = [*said(*recorded(f"{log}.log")), *ending]
    if log == "out-of-memory":
        host.kernel = said(*recorded("out-of-memory.kernel"))
    first, *rest = lines = lines_of(host.gate())
    assert first.startswith(f"vllm.service does not stay up: {cause}"), lines
    if remedy is not None:
        assert remedy in rest.pop(0), lines
    assert rest == [
        f"More: journalctl --boot _SYSTEMD_INVOCATION_ID={NOW} + INVOCATION_ID={NOW}"
    ], lines


# --- Which start is meant -------------------------------------------------------------------------


FUTURE = 4_000_000_000
TRACE = (
    "Traceback (most recent call last):",
    '  File "a.py", line 1, in f',
    "ValueError: this one",
)
OLD = (
    "Traceback (most recent call last):",
    '  File "a.py", line 1, in f',
    "KeyError: 'an old one'",
)


def test_an_earlier_start_is_not_shown(host: Host) -> None:
    host.entries = [
        *said(*OLD, invocation=BEFORE),
        *exited(invocation=BEFORE),
        *said(*TRACE, time=3),
        *exited(time=4),
    ]
    first, *rest = lines_of(host.gate())
    assert first == "vllm.service does not stay up: ValueError: this one"
    assert "old one" not in "".join(rest)


def test_an_engine_that_systemd_starts_again_has_failed(host: Host) -> None:
    host.shown |= {"ActiveState": "active", "SubState": "running", "InvocationID": BEFORE}
    host.later = {"InvocationID": NOW, "NRestarts": "1"}
    host.entries = [
        *said(*TRACE, invocation=BEFORE, time=FUTURE),
        *exited(invocation=BEFORE, time=FUTURE + 1),
        *said("INFO 11-26 01:00:00 [a.py:1] Loading", time=FUTURE + 2),
    ]
    first, second, *_ = lines_of(host.gate())
    assert first == "vllm.service does not stay up: ValueError: this one"
    assert BEFORE in second


def test_an_engine_that_waits_for_its_restart_has_failed(host: Host) -> None:
    host.shown |= {"ActiveState": "active", "SubState": "running"}
    host.later = {"ActiveState": "activating", "SubState": "auto-restart"}
    host.entries = [*said(*TRACE), *exited()]
    assert lines_of(host.gate(wait="600"))[0].endswith("does not stay up: ValueError: this one")


def test_an_engine_still_at_work_is_not_called_broken(host: Host) -> None:
    """Its latest line is shown, and not the error of the start before it."""
    host.shown |= {"ActiveState": "active", "SubState": "running"}
    host.entries = [
        *said(*OLD, invocation=BEFORE),
        *exited(invocation=BEFORE),
        *said("(Worker pid=3) INFO 11-26 01:00:00 [a.py:1] Loading shards: 45% | 4/9", time=3),
    ]
    first, second, *_ = lines = lines_of(host.gate(wait="1"))
    assert first == (
        "vllm.service is still starting after 1 s, its latest line: Loading shards: 45% | 4/9"
    )
    assert "ready_timeout" in second
    assert "old one" not in "".join(lines)


def test_an_engine_that_has_written_nothing_yet(host: Host) -> None:
    host.shown |= {"ActiveState": "active", "SubState": "running"}
    assert lines_of(host.gate(wait="1"))[0] == (
        "vllm.service is still starting after 1 s, its latest line: none yet"
    )


class Broken(BaseHTTPRequestHandler):
    """An engine that says what it serves and fails at every completion."""

    def do_GET(self) -> None:
        self._answer(200, json.dumps({"data": [{"id": "m"}]}))

    def do_POST(self) -> None:
        self._answer(500, "EngineDeadError")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def test_an_engine_that_answers_with_an_error_is_quoted(host: Host) -> None:
    host.shown |= {"ActiveState": "active", "SubState": "running"}
    host.entries = said("INFO 11-26 01:00:00 [a.py:1] Serving")
    server = HTTPServer(("127.0.0.1", 0), Broken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    host.port = server.server_port
    try:
        first, second, *_ = lines_of(host.gate(wait="1"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert first == "vllm.service gives no completion after 1 s: HTTP 500: EngineDeadError"
    assert second == "Its latest line: Serving"


# --- What is no traceback -------------------------------------------------------------------------


def test_an_oom_kill_is_named_with_the_process_and_its_memory(host: Host) -> None:
    host.shown["Result"] = "oom-kill"
    host.entries = [
        *said("(EngineCore pid=7) ERROR 11-26 01:00:00 [a.py:1] Worker-0 died unexpectedly"),
        systemd(OUT_OF_MEMORY),
        systemd(FAILED, UNIT_RESULT="oom-kill"),
    ]
    assert lines_of(host.gate())[0] == (
        "vllm.service does not stay up: the kernel killed a process of the engine for want of "
        "memory"
    )
    host.kernel = said(
        "oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/system.slice/vllm.service,task=x,pid=77,uid=9",
        "Out of memory: Killed process 77 (VLLM::Worker) total-vm:9kB, anon-rss:2097152kB, x",
        "oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/system.slice/other.service,task=x,pid=78,uid=9",
        "Out of memory: Killed process 78 (other) total-vm:9kB, anon-rss:1kB, x",
        time=2,
    )
    first, second, *_ = lines_of(host.gate())
    assert first == (
        "vllm.service does not stay up: the kernel killed VLLM::Worker (pid 77), which held "
        "2,048 MiB, for want of memory"
    )
    assert "free -m" in second


def test_a_worker_that_was_killed_is_named_where_the_engine_ends_with_0(host: Host) -> None:
    died = "Worker proc VllmWorker-1 died unexpectedly, shutting down executor."
    host.entries = [
        *said(f"(EngineCore pid=7) ERROR 11-26 01:00:00 [multiproc_executor.py:277] {died}"),
        systemd(DEACTIVATED),
    ]
    assert lines_of(host.gate())[0] == f"vllm.service does not stay up: {died}"


@pytest.mark.parametrize(
    ("endings", "cause"),
    [
        (exited("3"), "the engine ended with exit code 3 and logged no error"),
        (exited("4", "dumped"), "the engine crashed with SIGILL"),
        (exited("9", "killed"), "the engine was ended by SIGKILL, which it did not send itself"),
        (
            [systemd(DEACTIVATED)],
            "the engine ended by itself with exit code 0 and logged no error",
        ),
        ([systemd(STOPPING), *said(*TRACE), *exited()], "systemd was asked to stop it"),
    ],
    ids=["exit-code", "crash", "kill", "success", "stopped"],
)
def test_an_engine_that_logged_no_error(host: Host, endings: list[Entry], cause: str) -> None:
    host.entries = [*said("INFO 11-26 01:00:00 [a.py:1] Loading"), *endings]
    first, second, *_ = lines_of(host.gate())
    assert first == f"vllm.service does not stay up: {cause}"
    assert second.startswith("More: ")


def test_a_program_that_systemd_cannot_execute_is_named(host: Host) -> None:
    gone = "Failed to locate executable /opt/x/bin/python: No such file or directory"
    step = "Failed at step EXEC spawning /opt/x/bin/python: No such file or directory"
    host.entries = [
        systemd("641257651c1b4ec9a8624d7a40a9e1e7", MESSAGE=f"vllm.service: {gone}"),
        systemd("641257651c1b4ec9a8624d7a40a9e1e7", MESSAGE=f"vllm.service: {step}"),
        *exited("203"),
    ]
    assert lines_of(host.gate())[0] == f"vllm.service does not stay up: {gone}"


def test_a_journal_that_keeps_nothing_leaves_systemds_result(host: Host) -> None:
    assert lines_of(host.gate())[0] == (
        "vllm.service does not stay up: the journal has nothing of it; systemd's result is "
        "exit-code"
    )


def test_a_member_of_a_cell_says_who_ended_first(host: Host) -> None:
    host.entries = [
        *said(
            "RuntimeError: not in a traceback",
            *TRACE[:2],
            "RuntimeError: [gloo/pair.cc:534] Connection closed by peer [10.0.0.2]:29501",
            "cell: ending the engine: rank 1 (10.0.0.2) is gone: it ended the connection",
        ),
        *exited("75"),
    ]
    first, second, *_ = lines_of(host.gate("--headless"))
    assert first == (
        "vllm.service does not stay up: ending the engine: rank 1 (10.0.0.2) is gone: it ended "
        "the connection"
    )
    assert "Another member" in second


# --- What comes from outside ----------------------------------------------------------------------


def test_a_line_of_bytes_and_escapes_is_one_line_of_text(host: Host) -> None:
    hostile = "\x1b[31mValueError: red \x00\x07 and\ttabs\x1b[0m " + 9_000 * "x"
    host.entries = [*said(*TRACE[:2], hostile), *exited()]
    host.entries[2]["MESSAGE"] = list(hostile.encode())
    first = lines_of(host.gate())[0]
    assert first.startswith("vllm.service does not stay up: ValueError: red and tabs xxx")
    assert first.isprintable() and len(first) < 600


def test_entries_that_are_not_understood_are_passed_over(host: Host) -> None:
    host.entries = [
        *({"MESSAGE": odd, "_SYSTEMD_INVOCATION_ID": NOW} for odd in (None, 7, {}, [], ["a", "b"])),
        {"MESSAGE": "no start"},
        *said(*TRACE),
        *exited(),
    ]
    broken = host.directory / "journalctl"
    broken.write_text(JOURNALCTL.replace("exec tac", "echo '{not json'; exec tac"))
    assert lines_of(host.gate())[0].endswith("ValueError: this one")


def test_an_engine_that_writes_entries_in_systemds_name_is_not_believed(host: Host) -> None:
    """Its own text would come into a command that a person copies, or hide why it ended."""
    forged = [
        {**entry, "_PID": "12", "_SYSTEMD_INVOCATION_ID": NOW}
        for entry in (systemd(STOPPING), systemd(STOPPING, "x; reboot"))
    ]
    host.entries = [*forged, *said(*TRACE), *exited()]
    lines = lines_of(host.gate())
    assert lines[0].endswith("ValueError: this one")
    assert (
        lines[-1] == f"More: journalctl --boot _SYSTEMD_INVOCATION_ID={NOW} + INVOCATION_ID={NOW}"
    )


def test_without_the_program_that_finds_the_cause_the_journal_is_pointed_to(host: Host) -> None:
    (host.directory / "engine-failure").unlink()
    first, second = lines_of(host.gate())
    assert first.startswith("vllm.service does not stay up: the cause could not be found (")
    assert "engine-failure" in first
    assert second == "More: journalctl --boot --unit=vllm.service"


def test_a_host_whose_systemd_cannot_be_asked_is_told_without_a_traceback(host: Host) -> None:
    (host.directory / "systemctl").write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    first, second, third = lines_of(host.gate(wait="1"))
    assert first.startswith("vllm.service gives no completion after 1 s: systemd cannot be asked: ")
    assert second == "the cause could not be found (systemctl ends with 1: no bus)"
    assert third.startswith("More: ")


# --- Rollback -------------------------------------------------------------------------------------


def test_a_rollback_hands_on_the_cause_as_its_error(host: Host) -> None:
    host.entries = [*said(*TRACE[:2], "ValueError: No available memory for the cache blocks.")]
    host.entries += exited()
    host.replay()
    unit = host.directory / "vllm.service"
    unit.write_text("ExecStart=/opt/f/engines/0.32.0-abc/bin/python \\\n  --served-model-name m\n")
    options = argparse.Namespace(
        install_directory=str(host.directory.parent), port=host.port, wait=5, unit=str(unit)
    )
    with pytest.raises(roll_back.Failure) as failed:
        roll_back.answers(options, roll_back.Unit(unit))
    assert str(failed.value) == (
        "0.32.0 is in place again; vllm.service does not stay up: ValueError: No available memory "
        "for the cache blocks."
    )
    assert "fortyninety fit" in failed.value.details[0]


# --- One attempt ----------------------------------------------------------------------------------


def test_one_attempt_prints_json_alone(host: Host) -> None:
    """A fact of every deploy reads it; nothing failed there that needs a cause."""
    ran = host.gate(wait="0")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "Connection refused" in json.loads(ran.stdout)["error"]
