"""The checkpoint on local disk."""

from pyinfra.api.deploy import deploy

from fortyninety.host_programs import FETCH_SNAPSHOT, program
from fortyninety.operations import files, snapshot
from fortyninety.plan import Plan


@deploy("Snapshot")
def publish(plan: Plan) -> None:
    """Fetched by the host itself, verified, and published by one rename."""
    files.file(
        plan.paths.fetch_snapshot,
        program(FETCH_SNAPSHOT),
        mode="755",
        name="Put the fetching program in place",
    )
    snapshot.published(
        repository=plan.settings.model_repository,
        revision=plan.settings.model_revision,
        directory=plan.paths.models,
        endpoint=plan.settings.hub_endpoint,
        fetch_snapshot=plan.paths.fetch_snapshot,
        tools=plan.paths.tools,
        name=f"Fetch and verify {plan.settings.model_repository}",
    )
