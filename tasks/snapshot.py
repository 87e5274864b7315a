"""The checkpoint on local disk."""

from pyinfra.api.deploy import deploy

from fortyninety.fleet.snapshot import begin as begin_to_supply
from fortyninety.fleet.snapshot import is_under_way, supply
from fortyninety.operations import snapshot
from fortyninety.plan.plan import Plan
from fortyninety.plan.programs import SNAPSHOT, archive
from fortyninety.tasks import programs


@deploy("Ahead")
def begin(plan: Plan) -> None:
    """What `publish` would bring, begun while other stages are at work."""
    snapshot.begun(
        manifest=plan.snapshot_manifest,
        begin=begin_to_supply,
        programs={plan.paths.snapshot_program: archive(SNAPSHOT)},
        name=f"Begin to fetch {plan.settings.model_repository}",
    )


@deploy("Snapshot")
def publish(plan: Plan) -> None:
    """Fetched once for the fleet, verified by each host, published by one rename."""
    programs.put(plan.paths.snapshot_program, archive(SNAPSHOT), "fetching program")
    snapshot.published(
        repository=plan.settings.model_repository,
        revision=plan.settings.model_revision,
        manifest=plan.snapshot_manifest,
        supply=supply,
        under_way=is_under_way,
        name=f"Fetch and verify {plan.settings.model_repository}",
    )
    snapshot.readable(
        published=plan.paths.snapshot,
        models=plan.settings.models_directory,
        name="Open the checkpoint to the service",
    )
    if plan.paths.second_copy is not None:
        snapshot.second_copy(
            published=plan.paths.snapshot,
            second_copy=plan.paths.second_copy,
            manifest=plan.snapshot_manifest,
            program=plan.paths.snapshot_program,
            tools=plan.paths.tools,
            name="Keep a second copy",
        )


@deploy("Prune")
def prune(plan: Plan) -> None:
    """Old commits gone, once the new one answered."""
    snapshot.pruned(
        published=plan.paths.snapshot,
        current=plan.paths.current_snapshot,
        keep=plan.settings.snapshots_kept,
        name=f"Keep {plan.settings.snapshots_kept} commits of the checkpoint",
    )
