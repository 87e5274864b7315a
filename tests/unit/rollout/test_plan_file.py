"""The plan that a controller keeps of a rollout."""

from __future__ import annotations

import json

import pytest

from fortyninety.rollout.plan_file import PlanUnusable, RolloutPlan, read_plan
from fortyninety.rollout.policy import Policy, Share

PLAN = RolloutPlan(
    rollout="3f2a9c01",
    begun=1_800_000_000,
    by="ada@laptop",
    limit=("gpu-box-1",),
    policy=Policy(canary=2, batch=Share(30), max_failed=1, soak=5, floor=3),
    targets={"gpu-box-1": "0123abcd"},
    served={"gpu-box-1": True},
    force="a reason",
    before={"gpu-box-1": "4567cdef"},
)


def test_a_plan_is_read_as_it_is_kept() -> None:
    assert read_plan(PLAN.text()) == PLAN


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rollout", "../x"),
        ("begun", "now"),
        ("begun", -1),
        ("by", None),
        ("limit", [1]),
        ("policy", {}),
        ("policy", {**json.loads(PLAN.text())["policy"], "batch": "0"}),
        ("policy", {**json.loads(PLAN.text())["policy"], "soak": True}),
        ("targets", {"gpu-box-1": "x"}),
        ("targets", {"gpu-box-1": 1}),
        ("served", {"gpu-box-1": "yes"}),
        ("before", {"gpu-box-1": "x"}),
    ],
)
def test_what_is_no_plan_is_refused(key: str, value: object) -> None:
    with pytest.raises(PlanUnusable):
        read_plan(json.dumps({**json.loads(PLAN.text()), key: value}))


def test_a_plan_of_an_earlier_version_has_nothing_from_before() -> None:
    kept = json.loads(PLAN.text())
    del kept["before"]
    assert read_plan(json.dumps(kept)).before == {}


def test_a_file_that_is_cut_is_no_plan() -> None:
    for length in (0, 10, len(PLAN.text()) // 2):
        with pytest.raises(PlanUnusable):
            read_plan(PLAN.text()[:length])
