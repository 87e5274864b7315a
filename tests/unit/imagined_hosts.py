"""`fortyninety` in a process of its own, over hosts that pyinfra's @fake connector imagines.

    python -m tests.unit.imagined_hosts ANSWERS.json drift inventory.py

ANSWERS.json maps a host's name to [part of a command, lines, succeeds] of its answers; what no part
is in is answered with nothing, and who commands run as with root. The commands that ran are
appended to ANSWERS.json.commands.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

# First of all: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from fortyninety.cli import main

# Who commands run as, where a test does not say.
ROOT_ANSWERS = ("fortyninety asks", "user 0 root", "sudo root", "python3 3.11.2", "clock NOW")

_, ANSWERS, *ARGUMENTS = sys.argv


def now(lines: Iterable[str]) -> list[str]:
    """The lines of an answer, with this moment where a clock is read."""
    return [line.replace("clock NOW", f"clock {time.time():.0f}") for line in lines]


def answer(connector: FakeConnector, command: str) -> tuple[bool, CommandOutput]:
    """The first answer whose part is in the command."""
    with Path(f"{ANSWERS}.commands").open("a") as commands:
        commands.write(f"{json.dumps(command)}\n")
    for part, lines, succeeds in json.loads(Path(ANSWERS).read_text())[connector.host.name]:
        if part in command:
            return succeeds, CommandOutput([OutputLine("stdout", line) for line in now(lines)])
    if "fortyninety asks" in command:
        return True, CommandOutput([OutputLine("stdout", line) for line in now(ROOT_ANSWERS)])
    return True, CommandOutput([])


FakeConnector._lookup_response = answer  # type: ignore[method-assign]
FakeConnector._sleep = lambda self: None  # type: ignore[method-assign]
main(ARGUMENTS)
