"""Programs that read a host where a shell would be slow: Python's standard library, no changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.host import Host

from tests.host.bounded_ssh import COMMAND_SECONDS, BoundedSshBackend

FOLDER = Path(__file__).parent


def run_program(
    host: Host, program: str, *arguments: str, seconds: int = COMMAND_SECONDS
) -> CommandResult:
    """Run a program of this folder on the host by its own python3, which has `seconds` for it."""
    backend = host.backend
    assert isinstance(backend, BoundedSshBackend)
    return backend.run_program(source(program), *arguments, seconds=seconds)


def source(program: str) -> str:
    """The text of a program of this folder."""
    return (FOLDER / f"{program}.py").read_text()


def read(host: Host, program: str, *arguments: str, seconds: int = COMMAND_SECONDS) -> Any:
    """What a program of this folder prints as JSON on the host, run there by its own python3.

    It has `seconds` for it.
    """
    ran = run_program(host, program, *arguments, seconds=seconds)
    assert ran.rc == 0, (
        f"the host's python3 ended with {ran.rc} in {program}: {ran.stderr.strip()[-500:]}. "
        "Look at it by hand"
    )
    return json.loads(ran.stdout)
