"""What of the engines stays on a host."""

from __future__ import annotations

from fortyninety.operations.environments import too_many
from fortyninety.survey.reading import HostReading, ServedUnit
from tests.unit.readings import changed

LIVE, OLD, OLDER, CUT = (f"0.32.0-{digit * 12}" for digit in "dcba")


def state(*served: tuple[str, str]) -> HostReading:
    return changed(
        HostReading(),
        service__environments={LIVE: True, OLD: True, OLDER: True, CUT: False},
        service__served=[
            ServedUnit(configuration, 100 - index, engine)
            for index, (configuration, engine) in enumerate(served)
        ],
    )


def test_the_live_environment_and_the_latest_other_that_served_stay() -> None:
    read = state(("now", LIVE), ("flags", OLD), ("before", OLD), ("long ago", OLDER))
    assert too_many(read, LIVE, 1) == ([OLDER, CUT], ["long ago"])
    assert too_many(read, LIVE, 2) == ([CUT], [])
    assert too_many(read, LIVE, 0) == ([OLD, OLDER, CUT], ["flags", "before", "long ago"])


def test_what_never_served_is_nothing_to_go_back_to() -> None:
    assert too_many(state(("now", LIVE)), LIVE, 1) == ([OLD, OLDER, CUT], [])
