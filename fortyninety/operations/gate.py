"""End a deploy only when the engine on the host has answered."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from pyinfra import host, logger
from pyinfra import state as run

from fortyninety.deadlines import COMPLETION, DIAGNOSIS
from fortyninety.facts.completion import Completion
from fortyninety.facts.failed_gate import FailedGate
from fortyninety.facts.kv_cache import EngineLog, KvCache, read_kv_cache
from fortyninety.operations.converge import Command, converging
from fortyninety.operations.files import placing
from fortyninety.operations.reasons import differs
from fortyninety.operations.restoring import Restoring, guarded
from fortyninety.survey.reading import HostReading


@converging
def answers(
    reading: HostReading,
    *,
    program: str,
    port: int,
    model: str,
    service: str,
    headless: bool,
    restarts: int,
    timeout: int,
    log_lines: dict[str, Any],
    predicted_kv_tokens: int | None,
    max_model_len: int,
    configuration: str,
    restoring: Restoring | None,
) -> Iterator[Command]:
    """A real completion over HTTP within `timeout` seconds. An engine that answers now is asked
    once and nothing is changed; one that is starting is waited for while its unit stays up, or is
    restarted no more than `restarts` times, and then its own count of the KV cache (`log_lines` of
    its card) is said beside the prediction. The failing command's first line is the cause, and with
    `restoring` its last one says both that and what serves again. A `headless` member of a cell
    answers nobody: there the unit must say that its head does."""
    unit = service if headless else None
    result = host.get_fact(
        Completion, program=program, port=port, model=model, headless=unit, _timeout=COMPLETION
    )
    if result.answer is not None:
        host.noop(f"{model} answered with {result.tokens} tokens")
        return
    differs(f"{model} does not answer on port {port}: {result.error}")
    if run.is_executing and restoring is not None:
        _say_of_before(restoring.note, configuration)
    yield guarded(
        restoring,
        timeout + DIAGNOSIS,
        f"python3 {shlex.quote(program)} --port {port} --model {shlex.quote(model)} "
        f"--wait {timeout} --unit {shlex.quote(service)} --restarts {restarts}"
        f"{' --headless' if headless else ''}",
        answered=True,
    )
    # Only now, with the command behind us, and not while changes are being detected.
    if run.is_executing:
        measured = read_kv_cache(host.get_fact(EngineLog, service=service), log_lines)
        logger.info(
            f"{host.print_prefix}{kv_cache_line(predicted_kv_tokens, measured, max_model_len)}"
        )


def _say_of_before(note: str, configuration: str) -> None:
    """Say of a configuration that failed before that it did; it is tried again all the same."""
    before = host.get_fact(FailedGate, note=note)
    if before is not None and before.configuration == configuration:
        logger.warning(
            f"{host.print_prefix}this configuration failed here before, at {before.time}, and is "
            f"tried again: {before.cause}"
        )


def kv_cache_line(predicted: int | None, measured: KvCache | None, max_model_len: int) -> str:
    """Prediction and measurement of the KV cache side by side, in tokens."""
    if measured is None:
        found = "the engine has not logged its own count"
    else:
        concurrency = measured.concurrency or measured.tokens / max_model_len
        found = (
            f"{measured.tokens:,} tokens measured, {concurrency:.2f} sequences of "
            f"{max_model_len:,} at once"
        )
    if predicted is None:
        return f"KV cache: {found}; not predicted"
    if measured is None:
        return f"KV cache: {predicted:,} tokens predicted; {found}"
    off = (predicted / measured.tokens - 1) * 100 if measured.tokens else 0.0
    return f"KV cache: {predicted:,} tokens predicted, {found} (prediction {off:+.1f} %)"


@converging
def remembered(
    reading: HostReading, unit_path: str, *, directory: str, configuration: str
) -> Iterator[Command]:
    """A copy of the unit that just answered in `directory`, for a rollback to come back to.

    Named by its configuration; the file's time says when it served last.
    """
    if reading.service.served and reading.service.served[0].configuration == configuration:
        host.noop(f"configuration {configuration} is the latest that served")
        return
    differs(f"configuration {configuration} is not remembered as the latest that served")
    kept = f"{directory}/{configuration}.service"
    yield placing(kept, f"cat {shlex.quote(unit_path)}")
