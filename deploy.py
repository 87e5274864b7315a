"""Take a host from bare to answering, stage by stage: `pyinfra inventory/prod.py deploy.py`."""

from tasks import cuda, driver, engine, gate, power, preflight, python, service, snapshot

plan = preflight.plan_or_refuse()  # every reason at once, before the first change
driver.install(plan)
cuda.install(plan)
python.install(plan)
engine.install(plan)
snapshot.publish(plan)
power.cap(plan)
service.start(plan)
gate.wait(plan)
snapshot.prune(plan)
