"""A rollout to a cell of two boxes and a box of its own, behind a front, under load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import hosts
from tests.lab.rolling_out import Fleet, phases

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

BEFORE, FLAG = "--max-logprobs=20", "--max-logprobs=21"
# It parses, and the engine ends with it as it starts.
BROKEN = "--tokenizer=/nonexistent"


@pytest.fixture(scope="module")
def fleet(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A cell and a box behind a front, and somebody who asks it."""
    del lab
    folder = tmp_path_factory.mktemp("rollout")
    yield Fleet.started(3, folder, members=2, engine_arguments=[BEFORE])
    hosts.down()


def test_its_members_change_together_and_no_request_fails(fleet: Fleet) -> None:
    fleet.is_to_have(engine_arguments=[FLAG])
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (0, ["done", "done"]), result
    assert len(result["units"][0]["boxes"]) == 2, result
    assert len(fleet.having(FLAG)) == 3 and fleet.drained() == []


def test_a_broken_cell_is_put_back_as_a_whole(fleet: Fleet) -> None:
    fleet.is_to_have(engine_arguments=[BEFORE, BROKEN])
    with fleet.asked_meanwhile():
        code, result = fleet.roll_out()
    assert (code, phases(result)) == (1, ["failed-restored", "prepared"]), result
    assert len(fleet.having(FLAG)) == 3 and fleet.drained() == []
