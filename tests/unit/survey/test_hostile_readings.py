"""Generated answers of hosts: see generated_readings.py, which says what must hold for each."""

from __future__ import annotations

import os
import subprocess
import sys

from fortyninety.checkout import ROOT


def test_no_generated_answer_of_a_host_gets_into_a_command_or_ends_in_a_traceback() -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            "tests/unit/survey/generated_readings.py",
        ],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 passed" in ran.stdout, ran.stdout
