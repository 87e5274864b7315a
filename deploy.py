"""Take a host from bare to answering, stage by stage: `pyinfra inventory/prod.py deploy.py`."""

from fortyninety.tasks import (
    cell,
    cuda,
    driver,
    engine,
    firewall,
    gate,
    gateway,
    monitor,
    power,
    preflight,
    python,
    service,
    signals,
    snapshot,
    virtual_address,
)

plan = preflight.plan_or_refuse()  # every reason at once, before the first change
if plan.has_engine:  # else it is a front or a monitor alone, and has no cards
    driver.add_sources(plan)
    python.install(plan)
firewall.close(plan)  # where the settings ask for it, before peers and clients are let in
if plan.has_engine:
    engine.begin(plan)  # its environment is built,
    snapshot.begin(plan)  # the model
    cuda.begin(plan)  # and the toolkit fetched, while the driver is installed
    driver.build(plan)
    cuda.install(plan)
    engine.install(plan)
    snapshot.publish(plan)
    driver.load(plan)
    power.cap(plan)
    service.account(plan)
virtual_address.give_up(plan)  # where it is shared with nobody any more
gateway.close(plan)  # where nobody is to be let in any more
if plan.has_engine:
    cell.join(plan)  # where it serves together with others, before its engine starts
    service.start(plan)
    cell.leave(plan)  # where it serves by itself again
    gate.wait(plan)
gateway.open_to_keys(plan)
gateway.open_front(plan)  # where it lets people in to all boxes, after theirs have let it in
monitor.prepare(plan)  # what is to watch all boxes, where it has that role
signals.say(plan)  # how it is, to a monitor, where the settings ask for it
monitor.watch(plan)  # after those of the run say how they are
virtual_address.share(plan)  # with the other fronts, once this one answers
if plan.has_engine:
    snapshot.prune(plan)
