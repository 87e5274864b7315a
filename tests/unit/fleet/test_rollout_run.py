"""A rollout as it is carried out: the real runner over boxes that exist only here."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.rollout.phases import Phase
from fortyninety.rollout.policy import Count, Policy
from fortyninety.rollout.record import read_record
from tests.unit.fleet.imagined_rollout import NEW, OLD, Box, Killed, World, plan_of, roll_out

POLICY = Policy(canary=1, batch=Count(2), soak=0)
NAMES = ("box-1", "box-2", "box-3", "box-4", "box-5")


def world(**unusual: Box) -> World:
    """Five boxes that serve, but for those that are said (`box_2` for box-2)."""
    return World({name: unusual.get(name.replace("-", "_"), Box()) for name in NAMES})


def noted(world: World, name: str) -> Phase | None:
    found = world.boxes[name].noted
    record = None if found is None else read_record(found)
    return None if record is None else record.phase


def test_it_prepares_all_changes_a_canary_and_then_batches(tmp_path: Path) -> None:
    fleet = world()
    _, end, events = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert end.why == ""
    assert fleet.commands == [
        ("prepare", NAMES),
        ("deploy", ("box-1",)),
        ("deploy", ("box-2", "box-3")),
        ("deploy", ("box-4", "box-5")),
    ]
    assert {noted(fleet, name) for name in NAMES} == {Phase.DONE}
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        *("001-prepare.log", "002-deploy.log", "003-deploy.log", "004-deploy.log"),
    ]
    assert [each["unit"] for each in events if each["event"] == "done"] == list(NAMES)


def test_a_deploy_that_put_the_old_unit_back_stops_it_with_all_serving(tmp_path: Path) -> None:
    fleet = world(box_1=Box("restored"))
    found, end, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert end.why == "1 failed, 0 allowed"
    assert found.out == 0
    assert [what for what, _ in fleet.commands] == ["prepare", "deploy"]
    assert noted(fleet, "box-1") is Phase.FAILED_RESTORED


def test_a_box_that_its_deploy_left_without_an_answer_is_rolled_back(tmp_path: Path) -> None:
    fleet = world(box_1=Box("down"))
    found, end, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert fleet.commands[-1] == ("rollback", ("box-1",))
    assert found.of("box-1").phase is Phase.FAILED_RESTORED
    assert end.why and found.out == 0
    assert all(box.answers and box.configuration == OLD for box in fleet.boxes.values())


def test_a_box_that_cannot_go_back_is_said_not_to_serve(tmp_path: Path) -> None:
    fleet = world(box_1=Box("down", rolls_back=False))
    found, end, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert found.of("box-1").phase is Phase.FAILED
    assert end.why and found.out == 1


def test_a_box_that_is_twice_as_slow_as_the_others_goes_back(tmp_path: Path) -> None:
    fleet = world(box_1=Box(new_gap=0.04))
    found, end, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert fleet.commands[-1] == ("rollback", ("box-1",))
    assert "40 ms a token, others 20 ms" in found.of("box-1").why
    assert end.why and found.out == 0


@pytest.mark.parametrize("soak", [5, 0])
def test_a_box_that_stops_answering_while_it_is_watched_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: int
) -> None:
    monkeypatch.setattr("fortyninety.fleet.rollout_run.PROBED", 0.01)
    fleet = world(box_1=Box("hung"))
    found, _, _ = roll_out(fleet, plan_of(fleet, Policy(batch=Count(2), soak=soak)), tmp_path)
    assert found.of("box-1").phase is Phase.FAILED_RESTORED
    assert "stopped answering" in found.of("box-1").why


@pytest.mark.parametrize(("looks", "phase"), [(5, Phase.DONE), (10**9, Phase.FAILED_RESTORED)])
def test_a_gateway_has_the_time_of_its_next_probe_to_be_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, phase: Phase
) -> None:
    monkeypatch.setattr("fortyninety.fleet.rollout_run.PROBED", 0.01)
    monkeypatch.setattr("fortyninety.fleet.rollout_run.READY_LATE", 5.0 if looks == 5 else 0.05)
    fleet = world(box_1=Box(looks_until_ready=looks))
    found, _, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert found.of("box-1").phase is phase
    if phase is Phase.FAILED_RESTORED:
        assert "not ready" in found.of("box-1").why


def test_it_stops_when_it_is_told_and_when_its_lease_is_lost(tmp_path: Path) -> None:
    fleet = world()
    _, end, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path, stop="Ctrl-C")
    assert (end.why, fleet.commands) == ("Ctrl-C", [])
    fleet.lost_lease = "box-1: it is being changed by bob@desk"
    _, end, _ = roll_out(fleet, plan_of(fleet, POLICY), tmp_path)
    assert "bob@desk" in end.why and fleet.commands == []


@pytest.mark.parametrize(
    ("ends", "killed_after"),
    [("done", 2), ("done", 3), ("done", 4), ("restored", 3), ("down", 3), ("down", 4)],
)
def test_another_controller_ends_what_a_killed_one_began(
    tmp_path: Path, ends: str, killed_after: int
) -> None:
    fleet = world(box_3=Box(ends))
    fleet.killed_after = killed_after
    plan = plan_of(fleet, POLICY)
    with pytest.raises(Killed):
        roll_out(fleet, plan, tmp_path)
    fleet.boxes["box-3"].ends = "done"
    found, end, _ = roll_out(fleet, plan, tmp_path)
    assert end.why == "" and found.out == 0
    assert all(box.answers and box.configuration == NEW for box in fleet.boxes.values())
    assert {noted(fleet, name) for name in NAMES} == {Phase.DONE}


def test_what_was_changed_and_not_watched_is_watched_by_who_goes_on(tmp_path: Path) -> None:
    fleet = world(box_1=Box(new_gap=0.04))
    fleet.killed_after = 2
    plan = plan_of(fleet, POLICY)
    with pytest.raises(Killed):
        roll_out(fleet, plan, tmp_path)
    found, _, _ = roll_out(fleet, plan, tmp_path)
    assert found.of("box-1").phase is Phase.FAILED_RESTORED
