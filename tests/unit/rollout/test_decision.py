"""What a rollout does next, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fortyninety.rollout.decision import after, needed_by_the_load, next_action
from fortyninety.rollout.events import (
    Begun,
    Change,
    Changed,
    End,
    Event,
    Failed,
    Lost,
    Moved,
    Passed,
    Prepare,
    Prepared,
    Refused,
    Restore,
    Soak,
    StopAsked,
    Wait,
)
from fortyninety.rollout.fleet import Fleet, Unit, UnitState, units_of
from fortyninety.rollout.phases import ENDS, NotAllowed, Phase, may_follow
from fortyninety.rollout.policy import Count, Policy, Share, batch_size, read_batch

NAMES = tuple(f"box-{number}" for number in range(1, 9))
POLICY = Policy(canary=1, batch=Count(3), max_failed=0)


def fleet(policy: Policy = POLICY, *, down: tuple[str, ...] = ()) -> Fleet:
    """Eight boxes that are prepared."""
    return Fleet(
        policy,
        tuple(
            UnitState(
                Unit(name, (name,)),
                Phase.WAITING if name in down else Phase.PREPARED,
                serves=name not in down,
                counted=name not in down,
            )
            for name in NAMES
        ),
    )


def having(fleet: Fleet, *events: Event) -> Fleet:
    for event in events:
        fleet = after(fleet, event)
    return fleet


def changed(fleet: Fleet, *names: str) -> Fleet:
    """The fleet with these begun, changed and watched."""
    fleet = after(fleet, Begun(Change(names, "")))
    return having(fleet, *(Changed(name) for name in names), *(Passed(name) for name in names))


def test_boxes_that_do_not_serve_go_first_then_the_canary_then_batches() -> None:
    now = fleet(down=("box-5", "box-6"))
    assert next_action(now) == Change(("box-5", "box-6"), "not serving")
    now = changed(now, "box-5", "box-6")
    assert next_action(now) == Change(("box-1",), "canary")
    now = changed(now, "box-1")
    assert next_action(now) == Change(("box-2", "box-3", "box-4"), "batch")
    now = changed(now, "box-2", "box-3", "box-4")
    assert next_action(now) == Change(("box-7", "box-8"), "batch")
    assert next_action(changed(now, "box-7", "box-8")) == End("")


def test_under_a_load_that_needs_every_box_only_one_that_does_not_serve_may_be_begun() -> None:
    all_needed = replace(POLICY, floor=8)
    assert "8 serve, and the load that is seen needs 8" in needed_by_the_load(fleet(all_needed))
    # It lost its power, and somebody goes on while it boots.
    without = fleet(replace(POLICY, floor=7), down=("box-1",))
    assert needed_by_the_load(without) == ""
    assert next_action(without) == Change(("box-1",), "not serving")
    assert needed_by_the_load(changed(without, "box-1")) == ""
    assert needed_by_the_load(fleet(replace(POLICY, floor=7))) == ""


def test_no_box_is_taken_out_before_all_are_prepared() -> None:
    now = fleet()
    now = now.having(replace(now.of("box-8"), phase=Phase.WAITING))
    assert next_action(now) == Prepare(("box-8",))
    now = after(now, Begun(Prepare(("box-8",))))
    assert next_action(now) == Wait()
    assert next_action(after(now, Failed("box-8", "no room", serves=True))) == End(
        "1 failed, 0 allowed"
    )
    assert next_action(after(now, Prepared("box-8"))) == Change(("box-1",), "canary")


def test_a_canary_that_failed_is_followed_by_another_where_one_may_fail() -> None:
    now = fleet(replace(POLICY, max_failed=1))
    now = having(now, Begun(Change(("box-1",), "canary")), Failed("box-1", "gate", serves=True))
    assert next_action(now) == Change(("box-2",), "canary")


def test_what_was_changed_is_watched_also_where_the_rollout_is_to_stop() -> None:
    now = having(
        fleet(),
        Begun(Change(("box-1", "box-2"), "batch")),
        Changed("box-1"),
        Failed("box-2", "gate", serves=True),
        StopAsked("Ctrl-C"),
    )
    assert next_action(now) == Soak(("box-1",))
    refused = after(now, Refused("box-1", "twice as slow"))
    assert next_action(refused) == Restore(("box-1",))
    refused = after(refused, Begun(Restore(("box-1",))))
    assert refused.of("box-1").out
    refused = after(refused, Failed("box-1", "", serves=True))
    assert next_action(refused) == End("Ctrl-C")
    assert refused.of("box-1").why == "twice as slow"
    assert not refused.out


def test_a_box_that_stays_down_makes_the_next_batch_smaller() -> None:
    now = changed(fleet(replace(POLICY, max_failed=8)), "box-1")
    now = having(
        now,
        Begun(Change(("box-2", "box-3"), "batch")),
        Failed("box-2", "gate", serves=False),
        Changed("box-3"),
        Passed("box-3"),
    )
    assert next_action(now) == Change(("box-4", "box-5"), "batch")
    now = having(now, Lost("box-1"), Lost("box-3"))
    end = next_action(now)
    assert isinstance(end, End)
    assert "5 serve and 3 that served do not" in end.why


def test_the_floor_is_kept() -> None:
    now = changed(fleet(replace(POLICY, floor=7)), "box-1")
    assert next_action(now) == Change(("box-2",), "batch")
    assert isinstance(next_action(fleet(replace(POLICY, floor=8))), End)


def test_a_box_that_lost_power_while_it_waited_is_no_longer_of_those_that_serve() -> None:
    now = after(fleet(), Lost("box-7"))
    assert next_action(now) == Change(("box-7",), "not serving")


def test_a_deploy_says_how_far_it_is() -> None:
    now = having(
        fleet(),
        Begun(Change(("box-1",), "canary")),
        Moved("box-1", Phase.CHANGING),
        Moved("box-1", Phase.GATE),
    )
    assert next_action(now) == Wait()
    with pytest.raises(NotAllowed):
        after(now, Moved("box-1", Phase.CHANGING))


def test_no_phase_follows_an_end_and_every_phase_leads_to_one() -> None:
    assert not any(may_follow(end, after) for end in ENDS for after in Phase)
    leads = set(ENDS)
    for _ in Phase:
        leads |= {each for each in Phase if any(may_follow(each, end) for end in leads)}
    assert leads == set(Phase)


def test_the_members_of_a_cell_are_one_unit() -> None:
    cells = {"b": "pair", "d": "pair"}
    assert units_of("abcd", cells) == (
        Unit("a", ("a",)),
        Unit("cell pair", ("b", "d")),
        Unit("c", ("c",)),
    )


@pytest.mark.parametrize(
    ("batch", "fleet", "size"),
    [
        (Count(3), 12, 3),
        (Count(3), 2, 2),
        (Share(25), 12, 3),
        (Share(25), 3, 1),
        (Share(100), 3, 3),
    ],
)
def test_how_many_a_batch_is(batch: Count | Share, fleet: int, size: int) -> None:
    assert batch_size(batch, fleet) == size


def test_a_batch_is_read_as_it_is_written() -> None:
    assert [str(read_batch(text)) for text in ("3", "25%", "100%")] == ["3", "25%", "100%"]
    for wrong in ("", "0", "0%", "101%", "-1", "3.5", "half", "٣"):
        with pytest.raises(ValueError, match="expected"):
            read_batch(wrong)
