"""Following a deploy from outside: which stage it is in and how long each took."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

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
    inventory: str, *arguments: str, on_operation: Callable[[Operation], None] | None = None
) -> Deploy:
    """Run `pyinfra -y INVENTORY deploy.py`, calling `on_operation` as each operation begins."""
    seconds: dict[str, float] = {}
    lines: list[str] = []
    stage, began = "Preflight", time.monotonic()
    with subprocess.Popen(
        deploy_command(inventory, *arguments),
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for operation in operations(process.stdout, lines):
            if operation.stage != stage:
                now = time.monotonic()
                seconds[stage] = seconds.get(stage, 0.0) + now - began
                stage, began = operation.stage, now
            if on_operation is not None:
                on_operation(operation)
    seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - began
    return Deploy(process.returncode, "".join(lines), seconds)


def fortyninety(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this project's own, such as `fortyninety check`, to its end."""
    return _ended("-m", "fortyninety", *arguments)


def host_tests(inventory: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pytest tests/host` against an inventory, as the README says."""
    return _ended("-m", "pytest", "tests/host", "--inventory", inventory, *arguments)


def _ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
