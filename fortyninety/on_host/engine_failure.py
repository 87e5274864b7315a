#!/usr/bin/env python3
"""Find the error that ended the engine's latest start, in one line, and what to do about it.

Reads what systemd and the journal say of the unit and prints one JSON object. `state` is "ended"
or "running"; `cause` is the first error that the engine itself raised, or an OOM kill, or systemd's
result, or, of an engine that has not ended, its latest line; `remedy` is what to do, or null where
the cause is none of the known ones; `more` is the command that prints the whole start; `notes` are
at most two lines about what else systemd says. Only starts that ended after `--since` (seconds
since 1970) count, and the latest one. Ends with 0, or with 1 and a line on standard error where
systemd cannot be asked. Needs Python 3.10 and no packages.

    engine-failure --unit vllm.service --since 1764115200

The unit itself runs it twice. With `--ending` it prints why the start that ends now ended, for the
journal; with `--before` it tells systemd, for `systemctl status`, why the start before did. Neither
says anything of a start that was stopped on request.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import gmtime, strftime
from typing import Any

# Bounds on what is read from the journal, whose newest entries come first, and on what is printed.
MOST_ENTRIES = 20_000
MOST_BYTES = 64 * 1024 * 1024
MOST_CHARACTERS = 4_000
LONGEST_LINE = 300
# Seconds that systemctl or journalctl may take.
PATIENCE = 60
# Seconds that systemd may take to read what it is told.
BARRIER_TIMEOUT = 5


@dataclass(frozen=True)
class Known:
    """An error whose remedy is known. `source` says where its words and the remedy come from."""

    pattern: str
    remedy: str
    source: str


KNOWN = (
    Known(
        r"FP8 KV cache on CPU requires x86 with AVX-512",
        'This processor has no AVX-512: set kv_cache_dtype = "auto".',
        "vLLM 0.32.0, vllm/v1/attention/backends/cpu_attn.py; run on an AVX2 processor",
    ),
    Known(
        r"has no attribute 'cpu_gemm_wna16'",
        "The CPU build multiplies AWQ weights with AVX-512 alone: serve a checkpoint that is not "
        "quantized on this processor.",
        "vLLM 0.32.0, vllm/_custom_ops.py; run on an AVX2 processor",
    ),
    Known(
        r"No available memory for the cache blocks",
        "Weights and activations leave nothing for the KV cache: lower max_num_batched_tokens, "
        "take more cards or a smaller checkpoint. `fortyninety fit` shows the arithmetic.",
        "measured with 0.8.5.post1 and 0.24.0",
    ),
    Known(
        r"KV cache is needed, which is larger than the available KV cache memory"
        r"|larger than the maximum number of tokens that can be stored in KV cache",
        "Lower max_model_len to what fits. `fortyninety fit` shows the arithmetic.",
        "vLLM 0.32.0, vllm/v1/core/kv_cache_utils.py; 0.8.5.post1, vllm/worker/worker.py",
    ),
    Known(
        r"CUDA out of memory",
        "Set max_num_batched_tokens = 2048, or lower gpu_memory_utilization; `nvidia-smi` says "
        "whether another process holds memory of the cards.",
        "measured with 0.8.5.post1: 2048 passed the prompts that ended it before",
    ),
    Known(
        r"NVIDIA driver on your system is too old",
        "The engine's CUDA is newer than the driver: set driver_branch to the branch that "
        "`fortyninety engine list` names, or take a release for this driver.",
        "PyTorch, c10/cuda/CUDAFunctions.cpp",
    ),
    Known(
        r"Found no NVIDIA driver|CUDA driver initialization failed|No CUDA GPUs are available",
        "Run `nvidia-smi` on the box: the driver does not show it a card. A deploy puts the driver "
        "right.",
        "PyTorch, c10/cuda/CUDAFunctions.cpp",
    ),
    Known(
        r"Weight files referenced in index but missing"
        r"|No such file or directory: '[^']*safetensors",
        "`fortyninety snapshot verify INVENTORY` names what is missing or damaged, and the next "
        "deploy fetches it.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"Couldn't instantiate the backend tokenizer|\(tokenization_\w+\.py",
        "A file of the tokenizer is missing, damaged or of a kind that this release does not know: "
        "`fortyninety snapshot verify INVENTORY` compares it with the checkpoint's.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"Repo id must be in the form .*: '/",
        "There is no such folder: a deploy fetches the snapshot.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"does not match the quantization method specified in the `quantization` argument",
        "Set quantization to the method that the checkpoint's own config.json names.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"error: unrecognized arguments",
        "This release has no such flag: change engine_arguments.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"address already in use|Address already in use",
        "`ss -ltnp` names the process that has the port: stop it, or set another port.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"\[Errno 28\]|No space left on device",
        "`df -h` shows the full file system: make room on it.",
        "errno(3), ENOSPC",
    ),
    Known(
        r"\[Errno 13\]|Permission denied",
        "The service's account may not read it: `namei -l` with that path shows which folder or "
        "file denies it.",
        "run with 0.32.0-cpu",
    ),
    Known(
        r"Could not find nvcc",
        "FlashInfer wants to compile: set no attention_backend of that name, and no "
        "VLLM_USE_FLASHINFER_SAMPLER in an override of the unit.",
        "measured with 0.32.0, without the variable that its card sets",
    ),
    Known(
        r"No module named",
        "The engine's environment lacks a package: add it to the release's requirements.in and "
        "lock the release again with `fortyninety engine lock`.",
        "measured with 0.8.5.post1, whose lock lacked setuptools",
    ),
    Known(
        r"for want of memory",
        "`free -m` and `ps --sort=-rss aux` show what takes the box's memory; the engine's own "
        "share is its swap space (with 0.6.3.post1, 4 GiB a card unless engine_arguments set "
        "--swap-space) and on a CPU its KV cache.",
        "systemd.service(5), OOMPolicy=; vLLM 0.6.3.post1, vllm/engine/arg_utils.py",
    ),
    Known(
        r"ending the engine: |Connection closed by peer|Connection reset by peer",
        "Another member of the cell ended first: its own gate or `journalctl -u vllm.service` on "
        "its box says why.",
        "this project's cell-member; run with 0.32.0-cpu",
    ),
)

# What messages of systemd are about, by their MESSAGE_ID. Source: systemd's sd-messages.h.
EXITED = "98e322203f7a4ed290d09fe03c09fe15"
FAILED_WITH_RESULT = "d9b373ed55a64feb8242e02dbe79a49c"
DEACTIVATED = "7ad2d189f7e94e70a38c781354912448"
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
FAILED_TO_EXECUTE = "641257651c1b4ec9a8624d7a40a9e1e7"
STOPPING = "de5b426a63be47a7b6ac3eaac82e2f6f"
ENDINGS = (EXITED, FAILED_WITH_RESULT, DEACTIVATED)

# How much an error explains: the lowest wins, and of equals the first. RAISED ended its process,
# SURVIVED is one whose process went on working, and OUTER tells of another one.
RAISED, CRASHED, CELL, PEER, SURVIVED, LOGGED, HANDLED, OUTER, RESULT = range(9)

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b.")
# "(EngineCore_DP0 pid=12) ", "(VllmWorker rank=1 pid=31) ", "[rank0]: ": which process speaks.
SPEAKER = re.compile(r"\((?:[A-Za-z_]\w*)(?: \w+=\S+)*\) ?|\[rank\d+\]:(?: |$)")
# "ERROR 11-26 01:02:03 [core.py:700] ".
HEADER = re.compile(
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? \[[^\]]+\](?: |$)"
)
TRACEBACK = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\):")
CHAINED = re.compile(
    r"(?:The above exception was the direct cause of|During handling of the above exception)"
)
FRAME = re.compile(r'\s+File "([^"]+)", line (\d+), in (.+)')
FINAL = re.compile(r"([A-Za-z_][\w.]*)(?:: ?(.*))?$")
VALIDATION = re.compile(r"\d+ validation errors? for ")

# Exceptions that tell of another one, which was logged before or by another process. Source: vLLM
# 0.6.3.post1 to 0.32.0, where they are raised after a child process ended.
OUTER_TYPES = (
    "SystemExit",
    "KeyboardInterrupt",
    "CancelledError",
    "EngineDeadError",
    "GeneratorExit",
)
OUTER_MESSAGES = re.compile(
    r"root cause|check the logs|Engine core initialization failed|Engine process failed to start"
    r"|background process|Engine loop has died|EngineCore encountered an issue"
    r"|died unexpectedly|cancelled|Executor failed"
)
PEER_MESSAGES = re.compile(
    r"Connection closed by peer|Connection reset by peer|remote process exited|Broken pipe"
)
# What comes before the traceback of an error that ends nothing.
HANDLED_BEFORE = re.compile(r"Exception ignored in|Exception in ASGI application")
# Errors that come without a traceback.
FATAL_LINES = re.compile(
    r"(?:\S+\.py|vllm\S*|-c): error: .+"
    r"|.*error while loading shared libraries: .+"
    r"|Fatal Python error: .+"
    r"|\S*python[\d.]*: (?:No module named|can't open file|Error while finding) .+"
    r"|ERROR:\s+\[Errno \d+\] .+"
    r"|terminate called after throwing an instance of .+"
    r"|\s+what\(\): .+"
    r"|cell: \[Errno \d+\] .+"
)
# What systemd writes before its messages.
UNIT_BEFORE = re.compile(r"^\S+\.service: ")
CELL_ENDS = re.compile(r"cell: (ending the engine: .+)")
DIED = re.compile(r".*died unexpectedly.*")
# What a process that ends still logs; any other line shows that it went on.
FAREWELL = re.compile(r"shut(?:ting)? ?down|terminat|Killing", re.IGNORECASE)
# Exceptions that do not say what they are about without the place where they were raised.
PLACELESS = (
    "AssertionError",
    "Exception",
    "IndexError",
    "JSONDecodeError",
    "KeyError",
    "UnicodeDecodeError",
)
LIBRARY = "/site-packages/"
# systemd's number of a start.
INVOCATION = re.compile(r"[0-9a-f]{32}")
KILLED_PROCESS = re.compile(r"Killed process (\d+) \((.+?)\).*?anon-rss:(\d+)kB")
KILLED_IN = re.compile(r"oom-kill:.*task_memcg=([^,]+),task=.*,pid=(\d+)")


class Unreadable(Exception):
    """Why systemd or the journal cannot be asked."""


@dataclass(frozen=True)
class Entry:
    """A message of the journal: `time` in seconds since 1970, and the fields of systemd's own."""

    text: str
    time: float
    message_id: str
    exit_code: str
    exit_status: str
    result: str


@dataclass
class Start:
    """What the journal has of one start (systemd's invocation) of the unit, oldest first."""

    invocation: str
    entries: list[Entry] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether systemd says that it ended."""
        return any(entry.message_id in ENDINGS for entry in self.entries)

    @property
    def ended_at(self) -> float:
        """When its latest entry was written."""
        return self.entries[-1].time if self.entries else 0.0


@dataclass
class Finding:
    """An error that was found: `weight` is one of RAISED to RESULT, `chain` joins chained errors.

    `speaker` is the process that logged it, or "" where that is not known.
    """

    weight: int
    text: str
    chain: int
    speaker: str = ""


def clean(text: str) -> str:
    """Return `text` without escape sequences and control characters; tabs become blanks."""
    text = ESCAPES.sub("", text.replace("\t", " "))
    return "".join(each for each in text if each.isprintable())


def one_line(text: str) -> str:
    """Return `text` with its blanks collapsed, cut at LONGEST_LINE characters."""
    joined = " ".join(clean(text).split())
    return joined if len(joined) <= LONGEST_LINE else f"{joined[: LONGEST_LINE - 1]}…"


def unprefixed(text: str) -> tuple[str, str, str]:
    """Split a line into who speaks, the level of its log header ("" without one), and the rest."""
    speaker = ""
    while match := SPEAKER.match(text):
        speaker += match[0].strip()
        text = text[match.end() :]
    if match := HEADER.match(text):
        return speaker, match[1], text[match.end() :]
    return speaker, "", text


@dataclass
class _Stream:
    """Where one speaker's lines stand: in a traceback or not, and what came before it."""

    in_traceback: bool = False
    handled: bool = False
    chain: int = 0
    chained: bool = False
    # The latest frame, and the latest of a library rather than of Python's own.
    frame: str = ""
    library_frame: str = ""
    # An error whose message goes on in the next line, and its name.
    unfinished: Finding | None = None
    name: str = ""


class Findings:
    """The errors in one start's lines, each with how much it explains."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._streams: dict[tuple[str, bool], _Stream] = {}
        self._chains = 0

    def read(self, entry: Entry) -> None:
        """Take the next entry of the start."""
        if entry.message_id == EXITED:
            self._exited(entry)
        if entry.message_id == FAILED_TO_EXECUTE:
            self._add(RAISED, UNIT_BEFORE.sub("", entry.text))
        if entry.message_id:
            return
        for text in entry.text[:MOST_CHARACTERS].splitlines():
            speaker, level, rest = unprefixed(clean(text))
            stream = self._streams.setdefault((speaker, level != ""), _Stream())
            self._line(stream, speaker, level, rest)

    def best(self) -> Finding | None:
        """Return the error that explains most, or None where there is none.

        Of errors that were raised while another was handled, the first counts, unless one of the
        others is a known one and the first is not.
        """
        if not self._found:
            return None
        first = min(self._found, key=lambda each: each.weight)
        chained = [
            each
            for each in self._found
            if each.chain == first.chain and each.weight == first.weight
        ]
        known = (each for each in chained if remedy_of(each.text) is not None)
        return next(known, first)

    def _add(self, weight: int, text: str, chain: int | None = None, speaker: str = "") -> Finding:
        if chain is None:
            chain = self._next_chain()
        found = Finding(weight, one_line(text), chain, speaker)
        self._found.append(found)
        return found

    def _next_chain(self) -> int:
        self._chains += 1
        return self._chains

    def _exited(self, entry: Entry) -> None:
        status = entry.exit_status
        if entry.exit_code == "exited":
            self._add(RESULT, f"the engine ended with exit code {status} and logged no error")
            return
        try:
            name = signal.Signals(int(status)).name
        except ValueError:
            name = f"signal {status}"
        if name in ("SIGKILL", "SIGTERM", "SIGINT"):
            self._add(RESULT, f"the engine was ended by {name}, which it did not send itself")
        else:
            self._add(CRASHED, f"the engine crashed with {name}")

    def _line(self, stream: _Stream, speaker: str, level: str, text: str) -> None:
        if level in ("DEBUG", "INFO", "WARNING") and not FAREWELL.search(text):
            self._survived(speaker)
        if TRACEBACK.match(text.lstrip(" +|")):
            if not stream.chained:
                stream.chain = self._next_chain()
            stream.in_traceback, stream.chained, stream.unfinished = True, False, None
            stream.frame = stream.library_frame = ""
            return
        if stream.in_traceback:
            self._in_traceback(stream, speaker, level, text)
            return
        if CHAINED.match(text):
            stream.chained, stream.unfinished = True, None
        elif stream.unfinished is not None and text.strip():
            self._go_on(stream, stream.unfinished, text)
        if HANDLED_BEFORE.search(text):
            stream.handled = True
        elif match := CELL_ENDS.match(text):
            self._add(CELL, match[1])
        elif level == "" and FATAL_LINES.match(text):
            self._add(RAISED, text.removeprefix("ERROR:"))
        elif DIED.match(text):
            self._add(PEER, text)
        elif level in ("ERROR", "CRITICAL") and text.strip() and not text.startswith(" "):
            self._add(OUTER if OUTER_MESSAGES.search(text) else LOGGED, text)

    def _survived(self, speaker: str) -> None:
        """Take what this process raised for handled: it goes on.

        Lines without a process's name come from several; nothing can be said of those.
        """
        for found in self._found:
            if speaker and found.speaker == speaker and found.weight == RAISED:
                found.weight = SURVIVED

    def _in_traceback(self, stream: _Stream, speaker: str, level: str, text: str) -> None:
        if match := FRAME.match(text):
            stream.frame = f"{match[1].rpartition('/')[2]}, line {match[2]}, in {match[3]}"
            if LIBRARY in match[1]:
                stream.library_frame = stream.frame
            return
        match = None if text.startswith((" ", "|", "+")) else FINAL.match(text)
        if match is None:
            return
        stream.in_traceback = False
        stream.name, said = match[1].rpartition(".")[2], (match[2] or "").strip()
        place = stream.library_frame or stream.frame
        if (stream.name in PLACELESS or not said) and place:
            said = f"{said} ({place})".strip()
        if stream.handled or level in ("DEBUG", "INFO", "WARNING"):
            weight = HANDLED
        elif stream.name in OUTER_TYPES or OUTER_MESSAGES.search(said):
            weight = OUTER
        elif PEER_MESSAGES.search(said):
            weight = PEER
        else:
            weight = RAISED
        stream.handled = False
        found = self._add(weight, f"{stream.name}: {said}", stream.chain, speaker)
        if VALIDATION.match(said) or text.rstrip().endswith(":"):
            stream.unfinished = found

    def _go_on(self, stream: _Stream, found: Finding, text: str) -> None:
        """Add a line to an error whose first line says little, such as pydantic's."""
        said = found.text.removeprefix(f"{stream.name}: ")
        # Pydantic: the number of errors, then the field's name if it is one field's, then what is
        # wrong with it and, in brackets, what was given.
        said = "" if VALIDATION.match(said) else f"{said} "
        more_text = text.strip().removeprefix("Value error, ").partition(" [type=")[0]
        found.text = one_line(f"{stream.name}: {said}{more_text}")
        if OUTER_MESSAGES.search(found.text):
            found.weight = OUTER
        if text.startswith(" ") or len(text.split()) > 1:
            stream.unfinished = None


def remedy_of(cause: str) -> str | None:
    """Return what to do about `cause`, or None where it is not among the known ones."""
    return next((each.remedy for each in KNOWN if re.search(each.pattern, cause)), None)


def progress(start: Start) -> tuple[str, float] | None:
    """Return the latest line that the engine wrote and when, or None before its first."""
    for entry in reversed(start.entries):
        text = one_line(unprefixed(clean(entry.text[:MOST_CHARACTERS]))[2])
        if text and not entry.message_id:
            return text, entry.time
    return None


def run(*command: str) -> str:
    """Return a program's output. Raises Unreadable with what it says where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unreadable(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[:LONGEST_LINE]
        raise Unreadable(f"{command[0]} ends with {done.returncode}: {said or 'it says nothing'}")
    return done.stdout.decode(errors="replace")


def unit_properties(unit: str) -> dict[str, str]:
    """Return what systemd says of the unit. Raises Unreadable."""
    names = "ActiveState,SubState,InvocationID,Result,NRestarts"
    shown = run("systemctl", "show", f"--property={names}", unit)
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def journal(*matches: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of this boot's journal, the newest first, within the bounds.

    One whose line is no JSON object is left out. Ends early where journalctl does.
    """
    command = [
        *("journalctl", "--boot", "--quiet", "--no-pager", "--all", "--reverse", "--output=json"),
        *(f"--lines={MOST_ENTRIES}", *matches),
    ]
    try:
        reading = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return
    assert reading.stdout is not None
    left = MOST_BYTES
    try:
        for _ in range(MOST_ENTRIES):
            line = reading.stdout.readline(left)
            left -= len(line)
            if not line or left <= 0:
                break
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found
    finally:
        reading.kill()
        reading.stdout.close()
        reading.wait()


def message(found: dict[str, Any]) -> str:
    """Return an entry's text; the journal gives one with control characters as its bytes."""
    text = found.get("MESSAGE")
    if isinstance(text, list):
        # A field that was given twice is a list of texts.
        if all(isinstance(each, int) and 0 <= each < 256 for each in text):
            return bytes(text).decode(errors="replace")
        text = text[0] if text else ""
    return text if isinstance(text, str) else ""


def written_at(found: dict[str, Any]) -> float:
    """Return when an entry was written, in seconds since 1970; 0 where it does not say."""
    microseconds = str(found.get("__REALTIME_TIMESTAMP", ""))
    return int(microseconds) / 1e6 if microseconds.isdecimal() else 0.0


def starts(found: Iterable[dict[str, Any]]) -> list[Start]:
    """Sort entries, the newest first, into the unit's starts, the oldest first."""
    by_invocation: dict[str, Start] = {}
    for each in found:
        # What systemd itself says of a unit has the start's id under another name. Any process may
        # give an entry these names, but not those with an underscore, which journald gives.
        trusted = each.get("_PID") == "1"
        invocation = (trusted and each.get("INVOCATION_ID")) or each.get("_SYSTEMD_INVOCATION_ID")
        if not isinstance(invocation, str) or not INVOCATION.fullmatch(invocation):
            continue
        fields = {
            name: value if isinstance(value := each.get(name), str) else ""
            for name in ("MESSAGE_ID", "EXIT_CODE", "EXIT_STATUS", "UNIT_RESULT")
        }
        # The process that could not become the engine says so itself.
        if not trusted and fields["MESSAGE_ID"] != FAILED_TO_EXECUTE:
            fields = dict.fromkeys(fields, "")
        start = by_invocation.setdefault(invocation, Start(invocation))
        start.entries.append(Entry(message(each), written_at(each), *fields.values()))
    for start in by_invocation.values():
        start.entries.reverse()
    return list(reversed(by_invocation.values()))


def killed_process(start: Start, unit: str) -> str | None:
    """Return which process of the unit the kernel killed for want of memory, or None."""
    first, last = start.entries[0].time - 5, start.ended_at + 5
    killed = None
    for each in journal("_TRANSPORT=kernel"):
        if not first <= written_at(each) <= last:
            continue
        text = message(each)
        # The kernel says in whose control group it was just before it says what it killed.
        if match := KILLED_PROCESS.search(text):
            killed = match
        elif (group := KILLED_IN.search(text)) and killed and group[2] == killed[1]:
            if group[1].endswith(f"/{unit}"):
                return (
                    f"the kernel killed {clean(killed[2])} (pid {killed[1]}), which held "
                    f"{int(killed[3]) / 1024:,.0f} MiB, for want of memory"
                )
            killed = None
    return None


def explained(start: Start, unit: str) -> str | None:
    """Return the cause of an ended start, or None where its lines say nothing."""
    findings = Findings()
    stopped = False
    for entry in start.entries:
        stopped |= entry.message_id == STOPPING
        # What an engine writes while it is stopped is no reason.
        if not stopped:
            findings.read(entry)
    best = findings.best()
    counted = any(
        entry.result == "oom-kill" or entry.message_id == OUT_OF_MEMORY for entry in start.entries
    )
    # Where systemd does not count it, only the kernel knows why a process was killed.
    silent = best is None or best.weight in (PEER, LOGGED, OUTER, RESULT)
    if counted or silent:
        if killed := killed_process(start, unit):
            return killed
        if counted:
            return "the kernel killed a process of the engine for want of memory"
    if stopped and (best is None or silent):
        return "systemd was asked to stop it"
    if best is None and any(entry.message_id == DEACTIVATED for entry in start.entries):
        return "the engine ended by itself with exit code 0 and logged no error"
    return None if best is None else best.text


def diagnosis(unit: str, since: float) -> dict[str, Any]:
    """Return what is printed. Raises Unreadable where systemd cannot be asked."""
    shown = unit_properties(unit)
    current = shown.get("InvocationID", "")
    found = starts(journal(f"--unit={unit}"))
    over = shown.get("ActiveState") in ("failed", "inactive") or shown.get("SubState") in (
        "auto-restart",
        "auto-restart-queued",
    )
    ended = [
        each
        for each in found
        if (each.ended and each.invocation != current and each.ended_at >= since)
        or (each.invocation == current and over)
    ]
    notes = []
    if ended:
        # One that says why is worth more than a later one that does not.
        told = [(each, cause) for each in ended if (cause := explained(each, unit)) is not None]
        start, cause = told[-1] if told else (ended[-1], "the journal does not say why it ended")
        state = "ended"
        results = [e.result for e in start.entries if e.message_id == FAILED_WITH_RESULT]
        if results and results[-1] not in ("", "exit-code"):
            notes.append(f"systemd's result is {results[-1]}")
        if len(ended) > 1:
            notes.append(f"{len(ended)} starts have ended so far")
    else:
        state = "ended" if over else "running"
        start = next((each for each in found if each.invocation == current), Start(current))
        said = progress(start)
        if over:
            cause = f"the journal has nothing of it; systemd's result is {shown.get('Result')}"
        elif said is None:
            cause = "none yet"
        else:
            cause = said[0]
    return {
        "state": state,
        "cause": cause,
        "remedy": remedy_of(cause) if state == "ended" else None,
        "more": more(unit, start.invocation),
        "notes": notes[:2],
    }


def ended_alone(start: Start, unit: str) -> list[str]:
    """Return why a start ended, and what to do where that is known; [] where it was stopped."""
    if any(entry.message_id == STOPPING for entry in start.entries):
        return []
    cause = explained(start, unit) or "its log does not say why"
    remedy = remedy_of(cause)
    return [cause] if remedy is None else [cause, remedy]


def ending(unit: str) -> list[str]:
    """Return the lines for the journal about the start that ends now."""
    # What the engine wrote last is on its way to the journal.
    with contextlib.suppress(Unreadable):
        run("journalctl", "--sync")
    own = os.environ.get("INVOCATION_ID", "")
    found = [each for each in starts(journal(f"--unit={unit}")) if each.invocation == own]
    lines = ended_alone(found[0], unit) if found else []
    return [f"the engine ended: {lines[0]}", *lines[1:]] if lines else []


def before(unit: str) -> str:
    """Return what `systemctl status` is to say of the start before this one, or ""."""
    own = os.environ.get("INVOCATION_ID", "")
    others = [each for each in starts(journal(f"--unit={unit}")) if each.invocation != own]
    lines = ended_alone(others[-1], unit) if others else []
    if not lines:
        return ""
    at = strftime("%H:%M", gmtime(others[-1].ended_at))
    return f"the start before ended at {at} UTC: {' '.join(lines)}"


def notify(status: str) -> None:
    """Have systemd show `status`, and wait until it took it: it asks who it was that spoke."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not status or not address:
        return
    mine, theirs = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        sender.send(f"STATUS={status}".encode())
        # sd_notify_barrier(3): systemd closes the descriptor when everything before was read.
        socket.send_fds(sender, [b"BARRIER=1"], [theirs])
    os.close(theirs)
    select.select([mine], [], [], BARRIER_TIMEOUT)
    os.close(mine)


def more(unit: str, invocation: str) -> str:
    """Return the command that prints all of one start: the engine's lines and systemd's."""
    if not invocation:
        return f"journalctl --boot --unit={unit}"
    return f"journalctl --boot _SYSTEMD_INVOCATION_ID={invocation} + INVOCATION_ID={invocation}"


def main() -> int:
    """Read the command line and print the diagnosis."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--unit", required=True, help="the engine's systemd unit")
    parser.add_argument(
        "--since", type=float, default=0.0, help="leave out starts that ended before, in seconds"
    )
    parser.add_argument("--ending", action="store_true", help="say why this start ended")
    parser.add_argument("--before", action="store_true", help="say why the start before ended")
    options = parser.parse_args()
    try:
        if options.ending:
            print("\n".join(ending(options.unit)))
            return 0
        if options.before:
            notify(before(options.unit))
            return 0
        found = diagnosis(options.unit, options.since)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
