"""Look at a fleet for a rollout: what a deploy would change where, who serves, under which load.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fortyninety.cell.membership import named_cell
from fortyninety.fleet.deployment import prepared
from fortyninety.fleet.drift import drift_of
from fortyninety.fleet.inventory import choose_hosts
from fortyninety.fleet.planning import host_data
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.rollout_boxes import Boxes
from fortyninety.fleet.rollout_looked import Looked
from fortyninety.plan.unit import configuration
from fortyninety.rollout.fleet import units_of
from fortyninety.rollout.policy import Policy


@contextmanager
def looked_at(inventory: str, limit: tuple[str, ...]) -> Iterator[Looked]:
    """Plan every host and look at it, connected meanwhile. Raises InventoryUnusable."""
    chosen = choose_hosts(inventory, limit)
    with errors_alone(), prepared(chosen, detect_changes=True, talks=False) as deployment:
        if deployment.problems:
            yield Looked(deployment.problems)
            return
        state = deployment.connected.state
        # A front or a monitor alone has no engine that could be drained, watched or put back.
        plans = {host: plan for host, plan in deployment.plans.items() if plan.has_engine}
        boxes = Boxes(state, plans)
        cells = {
            host.name: cell for host in plans if (cell := named_cell(host_data(host))) is not None
        }
        names = [host.name for host in plans]
        yield Looked(
            boxes=boxes,
            units=units_of(names, cells),
            changes={host.name: len(drift_of(state, host).changes) for host in plans},
            seen=boxes.look(names),
            targets={host.name: configuration(plan) for host, plan in plans.items()},
            releases=tuple(sorted({plan.release.release for plan in plans.values()})),
            left_out=tuple(host.name for host in deployment.plans if host not in plans),
        )


def with_floor(policy: Policy, floor: int) -> Policy:
    """The policy with the floor that the load asks for."""
    return replace(policy, floor=floor)
