"""Take a host from bare to answering, stage by stage: `pyinfra inventory/prod.py deploy.py`."""

from fortyninety.tasks import (
    cell,
    cuda,
    driver,
    engine,
    gate,
    power,
    preflight,
    python,
    service,
    snapshot,
)

plan = preflight.plan_or_refuse()  # every reason at once, before the first change
driver.install(plan)
cuda.install(plan)
python.install(plan)
engine.install(plan)
snapshot.publish(plan)
power.cap(plan)
service.account(plan)
cell.join(plan)  # where it serves together with others, before its engine starts
service.start(plan)
cell.leave(plan)  # where it serves by itself again
gate.wait(plan)
snapshot.prune(plan)
