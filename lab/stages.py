"""Follow a deploy from outside: the stage it is in, and how long each took."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fortyninety.checkout import ROOT

# How long an interrupted pyinfra has for its connections.
_STOP_SECONDS = 10.0
# pyinfra's own line, such as "--> Starting operation: Driver | Install driver 550 and ...".
_OPERATION = re.compile(r"--> Starting operation: (?P<stage>[^|]+) \| (?P<name>.+)")


@dataclass(frozen=True)
class Operation:
    """One operation that a deploy began: its stage, and what it says it does."""

    stage: str
    name: str


@dataclass
class Deploy:
    """A deploy that ran: how it ended, what it printed, and the seconds of each stage in order."""

    exit_code: int
    output: str
    seconds: dict[str, float]


def deploy_command(inventory: str, *arguments: str, deploy_file: str = "deploy.py") -> list[str]:
    """The command that deploys to an inventory without asking; it runs in the project's root."""
    return [sys.executable, "-m", "pyinfra", "-y", *arguments, inventory, deploy_file]


def operations(lines: Iterable[str], seen: list[str]) -> Iterator[Operation]:
    """The operations that pyinfra's output announces; every line goes into `seen` as it comes."""
    for line in lines:
        seen.append(line)
        if found := _OPERATION.search(line):
            yield Operation(found["stage"].strip(), found["name"].strip())


def deploy(
    inventory: str,
    *arguments: str,
    on_operation: Callable[[Operation], None] | None = None,
    on_stage: Callable[[str, float], None] | None = None,
    log: Path | None = None,
) -> Deploy:
    """Run `pyinfra -y INVENTORY deploy.py` to its end.

    `on_operation` is called as each operation begins, `on_stage` with the seconds of each stage as
    it ends. `log` gets what is printed, as it comes. Ends the deploy where it is interrupted.
    """
    seconds: dict[str, float] = {}
    lines: list[str] = []
    stage, began = "Preflight", time.monotonic()

    def ended() -> None:
        taken = time.monotonic() - began
        seconds[stage] = seconds.get(stage, 0.0) + taken
        if on_stage is not None:
            on_stage(stage, taken)

    with subprocess.Popen(
        deploy_command(inventory, *arguments),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for operation in operations(_kept(process.stdout, log), lines):
                if operation.stage != stage:
                    ended()
                    stage, began = operation.stage, time.monotonic()
                if on_operation is not None:
                    on_operation(operation)
        except BaseException:
            _stop(process)
            raise
    ended()
    return Deploy(process.returncode, "".join(lines), seconds)


def _kept(lines: Iterable[str], log: Path | None) -> Iterator[str]:
    """The same lines, each written into the log before it is handed on."""
    if log is None:
        yield from lines
        return
    with log.open("w", buffering=1) as kept:
        for line in lines:
            kept.write(line)
            yield line


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupt a deploy as Ctrl-C does, where the terminal has not done so, and wait for it."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def fortyninety(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this project's own, such as `fortyninety check`, to its end."""
    return _ended("-m", "fortyninety", *arguments)


def host_tests(inventory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pytest tests/host` against an inventory, as the README says."""
    return _ended("-m", "pytest", "tests/host", "--inventory", inventory, *arguments)


def _ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
