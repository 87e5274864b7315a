"""`fortyninety bench` of an inventory, in a process whose standard library pyinfra may change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fortyninety.checkout import ROOT


def test_what_is_measured_over_ssh() -> None:
    cases = Path(__file__).with_name("bench_cases.py")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", cases],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 passed" in ran.stdout
