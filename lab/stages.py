"""Following a deploy from outside: which stage it is in and how long each took."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


def operations(lines: Iterator[str]) -> Iterator[Operation | None]:
    """For each line of pyinfra's output, the operation that it announces, or None."""
    for line in lines:
        found = _OPERATION.search(line)
        yield Operation(found["stage"].strip(), found["name"].strip()) if found else None


def deploy(
    inventory: str, *arguments: str, on_operation: Callable[[Operation], None] | None = None
) -> Deploy:
    """Run `pyinfra -y INVENTORY deploy.py`, calling `on_operation` as each operation begins."""
    command = [sys.executable, "-m", "pyinfra", "-y", *arguments, inventory, "deploy.py"]
    seconds: dict[str, float] = {}
    lines: list[str] = []
    stage, began = "Preflight", time.monotonic()
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None

        def keeping() -> Iterator[str]:
            for line in process.stdout or ():
                lines.append(line)
                yield line

        for operation in operations(keeping()):
            if operation is None:
                continue
            if operation.stage != stage:
                now = time.monotonic()
                seconds[stage] = seconds.get(stage, 0.0) + now - began
                stage, began = operation.stage, now
            if on_operation is not None:
                on_operation(operation)
    seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - began
    return Deploy(process.returncode, "".join(lines), seconds)
