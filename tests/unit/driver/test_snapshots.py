"""What each distribution, source and branch of the driver comes down to, word for word."""

from __future__ import annotations

import pytest

from tests.unit.driver.driver_snapshots import CASES, FOLDER, snapshot


@pytest.mark.parametrize("name", CASES)
def test_the_driver_and_the_toolkit_are_brought_as_the_snapshot_says(name: str) -> None:
    kept = FOLDER / f"{name}.txt"
    assert snapshot(CASES[name]) == kept.read_text(), (
        f"{kept} is another; where that is meant, `python -m tests.unit.driver.driver_snapshots` "
        "writes it anew: read the difference"
    )


def test_no_snapshot_is_of_a_case_that_there_is_no_more() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(CASES)
