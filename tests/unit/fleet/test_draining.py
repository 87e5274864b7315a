"""Drains that a deploy left, in a process whose standard library pyinfra may change."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_process import passed_in_a_process_of_its_own


def test_a_drain_that_a_deploy_left_is_ended() -> None:
    cases = Path(__file__).with_name("draining_cases.py")
    assert "4 passed" in passed_in_a_process_of_its_own(cases)
