"""The NVIDIA driver: its module built for the kernel that boots next, held, and in memory."""

from pyinfra.api.deploy import deploy

from fortyninety.operations import apt, files, kernel_module, reboot
from fortyninety.plan import (
    ARCHIVE_SOURCES,
    DRIVER_PACKAGE,
    NOUVEAU_CONFIGURATION,
    PYTHON_PREFERENCES,
    Plan,
)
from fortyninety.templates import render


@deploy("Driver")
def install(plan: Plan) -> None:
    """Sources, packages, and a reboot where the module in memory is not the installed one."""
    if plan.python_suite is not None:
        files.file(
            PYTHON_PREFERENCES,
            render(
                "fortyninety-python.preferences.j2",
                suite=plan.python_suite,
                python=plan.card.python,
            ),
            name=f"Keep the suite with Python {plan.card.python} at a low priority",
        )
    files.file(
        ARCHIVE_SOURCES,
        render("fortyninety.sources.j2", sources=plan.apt_sources),
        name="Add the archive's components with the driver",
    )
    files.file(
        NOUVEAU_CONFIGURATION,
        render("fortyninety-nouveau.conf.j2"),
        then="update-initramfs -u",
        name="Keep nouveau from the cards",
    )
    apt.packages(
        plan.driver_packages,
        hold=True,
        lock_timeout=plan.settings.apt_lock_timeout,
        name=f"Install driver {plan.settings.driver_branch} and build its module",
    )
    kernel_module.built(
        DRIVER_PACKAGE,
        lock_timeout=plan.settings.apt_lock_timeout,
        name="Build its module for the kernel that boots next",
    )
    reboot.into_driver(
        DRIVER_PACKAGE,
        allowed=plan.settings.allow_reboot,
        timeout=plan.settings.reboot_timeout,
        name="Reboot if the installed driver is not in memory",
    )
