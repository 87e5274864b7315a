"""Decide which suites and components of which archives apt is to know."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.driver.plan import DriverPlan
from fortyninety.plan.paths import ARCHIVE_SOURCES
from fortyninety.plan.python import PYTHON_SUITE
from fortyninety.survey.reading import HostReading


@dataclass(frozen=True)
class AptSource:
    """A suite of an archive that apt is to know, at the address the host already uses."""

    address: str
    suite: str
    components: tuple[str, ...]


def driver_components(driver: DriverPlan, reading: HostReading) -> tuple[str, ...]:
    """The components of the host's own archive that the driver and the toolkit come from.

    NVIDIA's packages for Debian build on some of contrib (NVIDIA's guide); for Ubuntu, on main.
    """
    if reading.os.distribution != "debian":
        return ()
    if driver.source == "distribution" or driver.cuda_directory is None:
        return ("contrib", "non-free", "non-free-firmware")
    return ("contrib",) if driver.source == "nvidia" else ()


def apt_sources(
    reading: HostReading, source: str, components: tuple[str, ...]
) -> tuple[AptSource, ...]:
    """The components with the driver, and the suite with Python 3.11, at the host's own archive.

    Its security fixes come from where the host's own come from. Only what the host's own sources
    lack: apt warns of a component that is named twice. Empty where apt knows no archive of the
    host's release: there is then no address to take.
    """
    own = [each for each in reading.apt.archives if each.source_file != ARCHIVE_SOURCES]
    suites = {(each.suite, each.component): each.address for each in reversed(own)}
    address = suites.get((reading.os.codename, "main"))
    if address is None:
        return ()
    wanted = [(address, reading.os.codename, components)]
    if source == "debian-12":
        wanted.append((address, PYTHON_SUITE, ("main",)))
        security = suites.get((f"{reading.os.codename}-security", "main"))
        if security is not None:
            wanted.append((security, f"{PYTHON_SUITE}-security", ("main",)))
    lacking = (
        AptSource(
            where,
            suite,
            tuple(each for each in needed if (suite, each) not in suites),
        )
        for where, suite, needed in wanted
    )
    return tuple(source for source in lacking if source.components)
