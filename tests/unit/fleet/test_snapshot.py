"""Run `snapshot_cases.py` by itself: pyinfra changes the standard library as it is imported."""

from __future__ import annotations

from pathlib import Path

from tests.unit.own_process import passed_in_a_process_of_its_own


def test_what_an_exchange_knows_of_hosts_beforehand() -> None:
    passed_in_a_process_of_its_own(Path(__file__).with_name("snapshot_cases.py"))
