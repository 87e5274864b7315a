"""Run the machine's own tools, with errors that show what the tool said."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from lab.errors import LabError


def run(command: Sequence[str], *, input_text: str | None = None) -> str:
    """Run a command and return its standard output; raise LabError with its output if it fails."""
    done = subprocess.run(command, input=input_text, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip() or "it said nothing"
        raise LabError(f"`{shlex.join(command)}` ended with {done.returncode}: {said}")
    return done.stdout


def succeeds(command: Sequence[str]) -> bool:
    """Whether a command ends with 0; its output is dropped."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
