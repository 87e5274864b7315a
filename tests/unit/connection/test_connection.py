"""The connection to a host, in a process whose standard library pyinfra may change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fortyninety.checkout import ROOT


def test_a_host_that_hangs_or_falls_silent_fails_alone_in_time() -> None:
    cases = Path(__file__).with_name("connection_cases.py")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", cases],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "11 passed" in ran.stdout
