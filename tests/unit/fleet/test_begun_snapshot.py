"""What a deploy begins ahead of its stages, by cases that need a process of their own."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_process import passed_in_a_process_of_its_own


def test_a_snapshot_is_begun_and_waited_for() -> None:
    assert "4 passed" in passed_in_a_process_of_its_own(
        Path(__file__).with_name("begun_snapshot.py")
    )
