"""What a rollout takes up again, by what the boxes say, and what they note of it."""

from __future__ import annotations

import pytest

from fortyninety.rollout.fleet import Unit
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.policy import Policy
from fortyninety.rollout.record import Record, read_record
from fortyninety.rollout.resume import Seen, begun, phase_of

UNIT = Unit("box", ("box",))
RECORD = Record("3f2a", "0123abcd", Phase.SOAKING, 1_800_000_000)


@pytest.mark.parametrize(
    ("at_target", "serves", "noted", "phase"),
    [
        (False, True, None, Phase.WAITING),
        (False, True, Phase.DONE, Phase.WAITING),
        (False, False, Phase.CHANGING, Phase.WAITING),
        (True, False, Phase.DONE, Phase.WAITING),
        (True, True, None, Phase.SKIPPED),
        (True, True, Phase.FAILED, Phase.SKIPPED),
        (True, True, Phase.DONE, Phase.DONE),
        (True, True, Phase.CHANGING, Phase.SOAKING),
        (True, True, Phase.SOAKING, Phase.SOAKING),
        (True, True, Phase.RESTORING, Phase.SOAKING),
    ],
)
def test_the_phase_of_a_box_that_nobody_changes(
    at_target: bool, serves: bool, noted: Phase | None, phase: Phase
) -> None:
    assert phase_of(Seen(UNIT, at_target, serves, noted)) is phase


def test_a_box_that_served_at_first_is_missed_by_who_goes_on() -> None:
    down = Seen(UNIT, at_target=False, serves=False)
    assert begun(Policy(), [down]).out == 0
    assert begun(Policy(), [down], {"box": True}).out == 1


def test_a_record_is_read_as_it_is_written() -> None:
    assert read_record(RECORD.text()) == RECORD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("3f2a", "../../x"),
        ("0123abcd", "x"),
        ("soaking", "asleep"),
        ("1800000000", "-1"),
        ("1800000000", "true"),
        ("1800000000", "1e99"),
        ("}", ""),
        ("{", "[" * 5000),
        ('"id"', '"name"'),
    ],
)
def test_what_no_rollout_writes_is_no_record(old: str, new: str) -> None:
    assert old in RECORD.text()
    assert read_record(RECORD.text().replace(old, new)) is None
