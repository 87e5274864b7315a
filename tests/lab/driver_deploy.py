"""The deploy of `test_driver_faults.py`: driver, CUDA and power, without the engine."""

from fortyninety.tasks import cuda, driver, power, preflight

plan = preflight.plan_or_refuse()
driver.install(plan)
cuda.install(plan)
power.cap(plan)
