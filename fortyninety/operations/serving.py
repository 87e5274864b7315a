"""The gate: a deploy is done when the engine on the host answered, and not before."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.facts.completion import Completion
from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging


@converging
def answers(
    state: HostState,
    *,
    program: str,
    port: int,
    model: str,
    service: str,
    headless: bool,
    restarts: int,
    timeout: int,
) -> Iterator[Command]:
    """A real completion over HTTP within `timeout` seconds. An engine that answers now is asked
    once and nothing is changed; one that is starting is waited for while its unit stays up, or is
    restarted no more than `restarts` times. A `headless` member of a cell answers nobody: there the
    unit must say that its head does."""
    unit = service if headless else None
    result = host.get_fact(Completion, program=program, port=port, model=model, headless=unit)
    if result.answer is not None:
        host.noop(f"{model} answered with {result.tokens} tokens")
        return
    yield (
        f"python3 {shlex.quote(program)} --port {port} --model {shlex.quote(model)} "
        f"--wait {timeout} --unit {shlex.quote(service)} --restarts {restarts}"
        f"{' --headless' if headless else ''}"
    )


@converging
def remembered(
    state: HostState, unit_path: str, *, directory: str, configuration: str
) -> Iterator[Command]:
    """A copy of the unit that just answered in `directory`, for a rollback to come back to.

    Named by its configuration; the file's time says when it served last.
    """
    if state.served and state.served[0].configuration == configuration:
        host.noop(f"configuration {configuration} is the latest that served")
        return
    kept = f"{directory}/{configuration}.service"
    beside = shlex.quote(f"{kept}.fortyninety-new")
    yield (
        f"install -D --mode=644 {shlex.quote(unit_path)} {beside} && "
        f"mv -fT {beside} {shlex.quote(kept)}"
    )
