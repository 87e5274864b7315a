"""The connection to a host, in a process whose standard library pyinfra may change."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_process import passed_in_a_process_of_its_own


def test_a_host_that_hangs_or_falls_silent_fails_alone_in_time() -> None:
    cases = Path(__file__).with_name("connection_cases.py")
    assert "11 passed" in passed_in_a_process_of_its_own(cases)
