"""`fortyninety status` and `logs`, in a process whose standard library pyinfra may change."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_process import passed_in_a_process_of_its_own


def test_what_is_shown_of_boxes_over_ssh() -> None:
    cases = Path(__file__).with_name("status_cases.py")
    assert "11 passed" in passed_in_a_process_of_its_own(cases)
