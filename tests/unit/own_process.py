"""Run cases by a pytest of their own, since pyinfra_cli patches the standard library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fortyninety.checkout import ROOT


def passed_in_a_process_of_its_own(cases: Path) -> str:
    """What pytest says of a file of cases, all of which must pass."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", cases],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
