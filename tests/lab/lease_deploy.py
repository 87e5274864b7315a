"""The deploy of `test_lease.py`: some files with a text of the run's own, one of them slowly."""

import os

from fortyninety.operations import files
from fortyninety.tasks import preflight

plan = preflight.plan_or_refuse()
TEXT = os.environ.get("LEASE_TEXT", "of nobody")
for path in (plan.paths.complete, plan.paths.try_engine, plan.paths.engine_failure):
    files.file(
        path,
        # Long enough to travel in several packets.
        f"{TEXT}\n" * 20_000,
        then=f"sleep {os.environ.get('LEASE_SECONDS', '0')}",
        name=f"Write {path.rpartition('/')[2]}",
    )
