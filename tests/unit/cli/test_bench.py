"""`fortyninety bench` of an inventory, in a process whose standard library pyinfra may change."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_process import passed_in_a_process_of_its_own


def test_what_is_measured_over_ssh() -> None:
    cases = Path(__file__).with_name("bench_cases.py")
    assert "5 passed" in passed_in_a_process_of_its_own(cases)
