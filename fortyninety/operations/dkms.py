"""Build the driver's module for the kernel that boots next, where no package's script did."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.driver.pins import installed_driver
from fortyninety.operations.apt.packages import LOCK_TIMEOUT, QUIETLY, apt_command
from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading


@converging
def built(
    reading: HostReading, driver_package: str, *, lock_timeout: int = LOCK_TIMEOUT
) -> Iterator[Command]:
    """The module of the installed `driver_package` for the kernel that boots next, made by DKMS.

    A kernel whose headers came later than itself, or whose build failed, has none until then. Nor
    has one whose files were removed by hand: DKMS still calls those installed, and its
    `autoinstall` leaves them, so that what it built is then put in place by force.
    """
    version, kernel = installed_driver(reading, driver_package), reading.kernels.next
    if version is None or kernel is None:
        host.noop("no driver or no kernel is installed")
        return
    if reading.kernels.modules[kernel] == version:
        host.noop(f"kernel {kernel} has the module of driver {version}")
        return
    found = reading.kernels.modules[kernel] or "no module"
    differs(f"kernel {kernel} has {found}; expected that of driver {version}")
    quoted = shlex.quote(kernel)
    there = (
        f"find /lib/modules/{quoted} -name 'nvidia.ko*' -o -name 'nvidia-current.ko*' | grep -q ."
    )
    yield apt_command(
        f"{QUIETLY} dkms autoinstall -k {quoted} && {{ {there} || dkms status -k {quoted} | "
        "sed -n 's/^\\(nvidia[^,]*\\), .*: installed.*/\\1/p' | "
        f"xargs -r -n 1 dkms install --force -k {quoted}; }}",
        f"building the module for kernel {kernel}",
        lock_timeout,
    )
