"""Drains that a deploy left, in a process whose standard library pyinfra may change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fortyninety.checkout import ROOT


def test_a_drain_that_a_deploy_left_is_ended() -> None:
    cases = Path(__file__).with_name("draining_cases.py")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", cases],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout
