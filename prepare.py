"""Bring what restarts nothing, for a deploy that is to be short: `pyinfra INVENTORY prepare.py`."""

from fortyninety.tasks import driver, engine, preflight, python, snapshot

plan = preflight.plan_or_refuse()
if plan.has_engine:
    driver.add_sources(plan)
    python.install(plan)
    engine.begin(plan)
    snapshot.begin(plan)
    driver.fetch(plan)
    engine.install(plan)
    snapshot.publish(plan)
