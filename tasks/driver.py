"""The NVIDIA driver: its module built for the kernel that boots next, held, and in memory."""

from pyinfra.api.command import FunctionCommand
from pyinfra.api.deploy import deploy

from fortyninety.fleet.snapshot import wait_for_begun
from fortyninety.operations import cuda, dkms, driver, environments, files, initramfs, reboot
from fortyninety.operations.apt import packages as apt
from fortyninety.operations.apt import repository_key
from fortyninety.operations.converge import Command
from fortyninety.plan.gateway import how_drained
from fortyninety.plan.paths import (
    ARCHIVE_SOURCES,
    DKMS_CONFIGURATION,
    DRIVER_PREFERENCES,
    NOUVEAU_CONFIGURATION,
    NVIDIA_KEYRING,
    NVIDIA_PREFERENCES,
    PYTHON_PREFERENCES,
    PYTHON_UNATTENDED_UPGRADES,
    SERVICE,
    UNATTENDED_UPGRADES,
)
from fortyninety.plan.plan import Plan
from fortyninety.templates import render


@deploy("Driver")
def install(plan: Plan) -> None:
    """`add_sources`, `build` and `load` at one go, for a deploy with nothing between them."""
    _sources(plan)
    if plan.driver.pins is not None:  # None: the image brings a driver, which is not touched.
        _change(plan)
        _reboot(plan, name="Reboot if the installed driver is not in memory")


@deploy("Sources")
def add_sources(plan: Plan) -> None:
    """What apt fetches from, and whose signature it takes."""
    _sources(plan)


@deploy("Driver")
def build(plan: Plan) -> None:
    """Packages, and a reboot into the driver where an engine starts with the boot.

    Elsewhere `load` reboots, once everything is there that is fetched meanwhile.
    """
    if plan.driver.pins is not None:
        _change(plan)
        _reboot(
            plan, served_alone=True, name="Reboot a box that serves if its driver is not in memory"
        )


@deploy("Reboot")
def load(plan: Plan) -> None:
    """A reboot where the module in memory is not the installed one."""
    if plan.driver.pins is not None:
        _reboot(plan, name="Reboot if the installed driver is not in memory")


@deploy("Driver")
def fetch(plan: Plan) -> None:
    """The packages of another driver than the one that is there, which goes on as it is."""
    if plan.driver.pins is not None:
        _keep(plan, "Have apt take no other driver")
        driver.fetched(
            plan.driver.pins,
            plan.driver.packages,
            without=plan.driver.obsolete,
            lock_timeout=plan.settings.apt_lock_timeout,
            name="Fetch the driver where another one is there",
        )


def _sources(plan: Plan) -> None:
    if plan.python_suite is not None:
        files.file(
            PYTHON_PREFERENCES,
            render(
                "fortyninety.preferences.j2",
                reason=f"{plan.python_suite} is there for Python {plan.release.python} alone.",
                pins=plan.python_pins,
            ),
            name=f"Take Python {plan.release.python} alone from its suite",
        )
        files.file(
            PYTHON_UNATTENDED_UPGRADES,
            render(
                "fortyninety-python.unattended-upgrades.j2",
                suite=plan.python_suite,
                python=plan.release.python,
            ),
            name=f"Let unattended upgrades fix Python {plan.release.python}",
        )
    if plan.driver.repository is not None:
        apt.packages(
            plan.driver.tools,
            lock_timeout=plan.settings.apt_lock_timeout,
            name="Install what a repository's key is read with",
        )
        repository_key.trusted(
            NVIDIA_KEYRING,
            address=plan.driver.repository.key_address,
            fingerprint=plan.driver.repository.fingerprint,
            name="Fetch the repository's key and trust it if it is the expected one",
        )
    if plan.driver.repository_pins:
        files.file(
            NVIDIA_PREFERENCES,
            render(
                "fortyninety.preferences.j2",
                reason="NVIDIA's repository is there for these packages alone.",
                pins=plan.driver.repository_pins,
            ),
            name="Take nothing else from NVIDIA's repository",
        )
    files.file(
        ARCHIVE_SOURCES,
        render(
            "fortyninety.sources.j2",
            sources=plan.apt_sources,
            repository=plan.driver.repository,
            keyring=NVIDIA_KEYRING,
        ),
        name="Add the archive's components with the driver",
    )


def _change(plan: Plan) -> None:
    """The driver of the plan in the place of none or of another, and kept."""
    files.file(
        NOUVEAU_CONFIGURATION,
        render("fortyninety-nouveau.conf.j2"),
        name="Keep nouveau from the cards",
    )
    files.file(
        DKMS_CONFIGURATION,
        render("fortyninety-dkms.conf.j2"),
        name="Have DKMS compress modules quickly",
    )
    _keep(plan, "Have apt take no other driver")
    driver.prepared(
        plan.driver.pins,
        plan.driver.packages,
        without=plan.driver.obsolete,
        service=SERVICE,
        draining=how_drained(plan.gateway),
        first=_what_is_under_way(),
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Make way where there is another driver",
    )
    apt.packages(
        (*plan.driver.headers, *plan.driver.packages),
        without=plan.driver.obsolete,
        initramfs_behind=NOUVEAU_CONFIGURATION,
        lock_timeout=plan.settings.apt_lock_timeout,
        name=f"Install driver {plan.settings.driver_branch} and build its module",
    )
    dkms.built(
        plan.driver.packages[0].name,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Build its module for the kernel that boots next",
    )
    driver.cleared(
        plan.driver.pins,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Remove what another driver left behind",
    )
    _keep(plan, "Pin the driver that was installed")
    driver.held(
        plan.driver.pins,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Hold every package of the driver",
    )
    initramfs.holding(NOUVEAU_CONFIGURATION, name="Have the initramfs keep nouveau away too")


def _reboot(plan: Plan, *, served_alone: bool = False, name: str) -> None:
    reboot.into_driver(
        plan.driver.packages[0].name,
        service=SERVICE,
        draining=how_drained(plan.gateway),
        allowed=plan.settings.allow_reboot,
        timeout=plan.settings.reboot_timeout,
        first=_what_is_under_way(),
        served_alone=served_alone,
        name=name,
    )


def _what_is_under_way() -> tuple[Command, ...]:
    """Commands that wait for what was begun ahead: a reboot would cut it."""
    return (
        environments.building_ended(),
        cuda.fetching_ended(),
        FunctionCommand(wait_for_begun, (), {}),
    )


def _keep(plan: Plan, name: str) -> None:
    """apt's preferences and unattended upgrades' exceptions for the driver as it is by now."""
    driver.pinned(
        plan.driver.pins,
        preferences=DRIVER_PREFERENCES,
        unattended=UNATTENDED_UPGRADES,
        name=name,
    )
