"""Rollouts through generated fleets: what may never happen, whatever fails, whoever is killed."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from fortyninety.rollout.phases import Phase
from fortyninety.rollout.policy import Count, Policy, Share
from tests.unit.rollout.imagined_rollout import Box, Fate, World, run

BOXES = [f"box-{number}" for number in range(1, 101)]
FATES = some.dictionaries(some.sampled_from(BOXES), some.sampled_from(Fate), max_size=12)
POLICIES = some.builds(
    Policy,
    canary=some.integers(0, 5),
    batch=some.one_of(
        some.builds(Count, some.integers(1, 40)), some.builds(Share, some.integers(1, 100))
    ),
    max_failed=some.integers(0, 15),
    floor=some.integers(0, 99),
)


@some.composite
def worlds(draw: some.DrawFn) -> World:
    """A fleet of 100 boxes, of which some fail, some are down, and whose controllers are killed."""
    fates = draw(FATES)
    down = draw(some.sets(some.sampled_from(BOXES), max_size=5))
    boxes = {
        name: Box(fates.get(name, Fate.GOOD), serves=name not in down, noted=None) for name in BOXES
    }
    return World(
        boxes,
        draw(POLICIES),
        killed_at=frozenset(draw(some.sets(some.integers(1, 60), max_size=4))),
        power=draw(some.dictionaries(some.integers(1, 60), some.sampled_from(BOXES), max_size=3)),
    )


QUICK = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@QUICK
@given(worlds())
def test_never_too_few_serve_and_it_always_ends(world: World) -> None:
    """`run` asserts at each step: the batch, the floor, that it ends, that states agree."""
    end = run(world)
    assert end.why or all(box.new for box in world.boxes.values())


@QUICK
@given(worlds())
def test_whatever_happened_the_next_one_ends_it_once_the_cause_is_mended(world: World) -> None:
    run(world)
    for box in world.boxes.values():
        box.fate, box.powered = Fate.GOOD, True
    world.killed_at, world.power = frozenset(), {}
    # Until what is down serves again, the floor and the batch may keep it from going on.
    world.policy = Policy(canary=1, batch=world.policy.batch, floor=0, max_failed=0)
    assert run(world).why == ""
    assert all(box.new and box.in_rotation for box in world.boxes.values())


@QUICK
@given(
    some.lists(
        some.sampled_from((Fate.GOOD, Fate.RESTORED, Fate.SLOW)), min_size=100, max_size=100
    ),
    some.integers(0, 3),
    some.integers(1, 5),
)
def test_no_more_boxes_fail_than_are_allowed_and_one_batch(
    fates: list[Fate], max_failed: int, batch: int
) -> None:
    boxes = {name: Box(fate) for name, fate in zip(BOXES, fates, strict=True)}
    world = World(boxes, Policy(max_failed=max_failed, batch=Count(batch)))
    run(world)
    failed = [
        box for box in world.boxes.values() if box.noted in (Phase.FAILED, Phase.FAILED_RESTORED)
    ]
    assert len(failed) <= max_failed + batch


@QUICK
@given(worlds())
def test_without_kills_no_box_is_changed_twice(world: World) -> None:
    world.killed_at = frozenset()
    run(world)
    assert max(box.changes for box in world.boxes.values()) <= 1
