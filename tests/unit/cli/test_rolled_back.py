"""What goes back where a whole rollout is undone, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.rolled_back import fleet_back, plan_back
from fortyninety.fleet.rollout_looked import Looked
from fortyninety.rollout.capacity import Load
from fortyninety.rollout.fleet import Unit
from fortyninety.rollout.phases import Phase
from fortyninety.rollout.plan_file import RolloutPlan
from fortyninety.rollout.policy import Policy
from fortyninety.rollout.seen import BoxSeen

OLD, NEW, OTHER = "0" * 16, "1" * 16, "2" * 16
BOXES = ("a", "b", "c")
DONE = RolloutPlan(
    rollout="3f2a9c01",
    begun=0,
    by="ada@laptop",
    limit=("boxes",),
    policy=Policy(canary=2, soak=7),
    targets=dict.fromkeys(BOXES, NEW),
    served=dict.fromkeys(BOXES, True),
    before=dict.fromkeys(BOXES, OLD),
)


def looked(**configurations: str) -> Looked:
    """Three boxes with a request each, of which each could carry all; changed unless said."""
    load = Load(1, 64)
    return Looked(
        units=tuple(Unit(name, (name,)) for name in BOXES),
        seen={
            name: BoxSeen(True, configuration=configurations.get(name, NEW), load=load)
            for name in BOXES
        },
    )


def test_what_the_rollout_changed_goes_back_by_its_policy_and_the_rest_stays() -> None:
    found = looked(c=OLD)
    plan = plan_back(found, DONE)
    assert (plan.targets, plan.before) == (DONE.before, {"a": NEW, "b": NEW, "c": OLD})
    assert plan.policy == replace(DONE.policy, floor=1) and plan.limit == DONE.limit
    assert plan.rollout != DONE.rollout
    phases = {each.name: each.phase for each in fleet_back(found, plan).units}
    assert phases == {"a": Phase.PREPARED, "b": Phase.PREPARED, "c": Phase.SKIPPED}


def test_a_box_that_was_changed_since_is_named() -> None:
    with pytest.raises(NoAnswer, match="b: changed since rollout 3f2a9c01"):
        plan_back(looked(b=OTHER), DONE)


def test_a_rollout_that_noted_nothing_cannot_be_undone() -> None:
    with pytest.raises(NoAnswer, match="nothing was noted to have served before on a, c"):
        plan_back(looked(), replace(DONE, before={"b": OLD}))
