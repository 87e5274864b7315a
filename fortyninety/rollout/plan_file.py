"""Keep what a rollout set out to do, for its controller. How far it is, the boxes say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fortyninety.rollout.policy import Policy, read_batch
from fortyninety.rollout.record import is_rollout_id

# Bytes: a fleet of 1,000 boxes has 100,000.
LARGEST = 4 * 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_NUMBERS = ("canary", "max_failed", "soak", "floor")


class PlanUnusable(Exception):
    """Why a file is no plan of a rollout, in one line."""


@dataclass(frozen=True)
class RolloutPlan:
    """A rollout: its hosts by name, what each is to become, and which units served at first.

    `targets` has the digest of each host's unit, and `before` that of the one it had, where it had
    one. `force` is why it goes on whatever the load.
    """

    rollout: str
    begun: int
    by: str
    limit: tuple[str, ...]
    policy: Policy
    targets: Mapping[str, str]
    served: Mapping[str, bool]
    force: str = ""
    before: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """As it is kept."""
        policy = {**asdict(self.policy), "batch": str(self.policy.batch)}
        return json.dumps({**asdict(self), "policy": policy}, indent=2) + "\n"


def read_plan(text: str) -> RolloutPlan:
    """The plan of a file's text. Raises PlanUnusable."""
    try:
        found = json.loads(text)
        policy = found["policy"]
        plan = RolloutPlan(
            rollout=found["rollout"],
            begun=found["begun"],
            by=found["by"],
            limit=tuple(found["limit"]),
            policy=Policy(
                batch=read_batch(policy["batch"]), **{name: policy[name] for name in _NUMBERS}
            ),
            targets=dict(found["targets"]),
            served=dict(found["served"]),
            force=found["force"],
            # One that was begun by an earlier version has none.
            before=dict(found.get("before", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PlanUnusable(f"it is no plan of a rollout ({type(error).__name__})") from error
    if not _typed(plan):
        raise PlanUnusable("it is no plan of a rollout: a value of another type")
    return plan


def _typed(plan: RolloutPlan) -> bool:
    texts: list[Any] = [plan.rollout, plan.by, plan.force, *plan.limit, *plan.targets]
    texts += plan.before
    numbers: list[Any] = [plan.begun, *(getattr(plan.policy, name) for name in _NUMBERS)]
    digests: list[Any] = [*plan.targets.values(), *plan.before.values()]
    return (
        all(isinstance(each, str) for each in [*texts, *digests, *plan.served])
        and is_rollout_id(plan.rollout)
        and all(type(each) is int and each >= 0 for each in numbers)
        and all(_DIGEST.fullmatch(each) for each in digests)
        and all(isinstance(each, bool) for each in plan.served.values())
    )
