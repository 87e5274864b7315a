"""The deploy of `test_driver_sources.py` on a bare host: driver and toolkit, and no engine."""

from fortyninety.tasks import cuda, driver, preflight

plan = preflight.plan_or_refuse()
driver.install(plan)
cuda.install(plan)
