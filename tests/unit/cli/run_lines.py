"""Run lines of `fortyninety` in one process of their own, and tell how each ended.

    python -m tests.unit.cli.run_lines < LINES.json > ENDED.json

pyinfra_cli patches the standard library of its process, and takes seconds to load.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fortyninety.checkout import ROOT


@dataclass(frozen=True)
class Ended:
    """How a line ended."""

    exit_code: int
    stdout: str
    stderr: str


def run_lines(
    lines: Sequence[Sequence[str]], home: Path, working_folder: Path = ROOT
) -> list[Ended]:
    """How each of the lines ended. Not for `check`, which begins a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.cli.run_lines"],
        input=json.dumps(lines),
        cwd=working_folder,
        env=alone(home),
        capture_output=True,
        text=True,
        check=True,
        # Of a line that never ends; all of them take seconds.
        timeout=600,
    )
    return [Ended(*each) for each in json.loads(ran.stdout)]


def alone(home: Path) -> dict[str, str]:
    """The environment of a user without keys and caches of their own, whom no hub answers."""
    nobody = "http://127.0.0.1:9"
    return {
        **os.environ,
        **{"HOME": str(home), "XDG_CACHE_HOME": str(home), "SSH_AUTH_SOCK": ""},
        **{"HTTPS_PROXY": nobody, "HTTP_PROXY": nobody, "PYTHONPATH": str(ROOT)},
    }


def main() -> None:
    """Run each, and print how they ended."""
    import pyinfra_cli.main  # noqa: F401, PLC0415  # first of all: it patches the standard library
    from click.testing import CliRunner  # noqa: PLC0415
    from pyinfra.api import connectors  # noqa: PLC0415
    from pyinfra_cli import inventory  # noqa: PLC0415

    from fortyninety.cli import main as fortyninety  # noqa: PLC0415

    # Half of the time of a line: pyinfra parses a file of settings once for each of them, and looks
    # for its connectors among all packages. Neither changes meanwhile.
    inventory._get_imported_names = functools.cache(inventory._get_imported_names)
    connectors.entry_points = functools.cache(connectors.entry_points)
    found = []
    for line in json.load(sys.stdin):
        ended = CliRunner().invoke(fortyninety, line)
        found.append((ended.exit_code, ended.stdout, ended.stderr))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
