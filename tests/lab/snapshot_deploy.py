"""The deploy of `test_snapshot_fleet.py`: a bare host gets the host's tools and the snapshot."""

from fortyninety.checkout import HOST_TOOLS_LOCK
from fortyninety.operations import directories, environments, files
from fortyninety.operations.apt import packages as apt
from fortyninety.packages.package import Package
from fortyninety.plan.programs import SEAL_ENVIRONMENT, program
from fortyninety.tasks import preflight, snapshot

plan = preflight.plan_or_refuse()
apt.packages(
    (Package("python3-venv"), *plan.snapshot_packages),
    name="Install what the host's tools are made with, and what hands snapshots on",
)
directories.there(plan.paths.directories, name="Make this project's folders")
files.file(
    plan.paths.seal_environment,
    program(SEAL_ENVIRONMENT),
    mode="755",
    name="Put the program that marks environments in place",
)
environments.host_tools(
    plan.paths.tools,
    HOST_TOOLS_LOCK,
    plan.paths.tools_lock,
    seal=plan.paths.seal_environment,
    temporary=plan.paths.temporary,
    source=plan.package_source,
    name="Install uv and the hub's client from their lock",
)
snapshot.publish(plan)
snapshot.prune(plan)
