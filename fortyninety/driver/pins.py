"""Keep the driver at its version: name its packages, and write what apt is told of them.

A background upgrade that swaps the user library under the loaded module leaves a host on which no
process can use the cards until it is rebooted. So the whole driver stays, libraries included,
until a deploy changes it. Pure functions of one reading of the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fortyninety.packages.pins import Pin
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import DRIVER_NAMES

# What the kernel modules of any source and branch are built from.
MODULE_PACKAGE = re.compile(
    r"nvidia-kernel-dkms|nvidia-kernel-open-dkms|nvidia-open-kernel-dkms"
    r"|nvidia-dkms-\d+(-server)?(-open)?"
)

# A version that is a driver's, such as 550.163.01-2, and not a toolkit's or a tool's of its own.
DRIVER_VERSION = re.compile(r"[3-9]\d\d\.\d+(\.\d+)?-")

# Above 1000 apt also goes back to a version, so a driver that somebody swapped comes back.
PIN_PRIORITY = 1001


@dataclass(frozen=True)
class DriverPins:
    """What there is to know of a driver to keep it.

    `module` is the package that the modules are built from, `wanted` what its version begins with,
    `companions` are packages of the driver with versions of their own, and `not_from` is an archive
    (by its origin) whose packages of these names are never taken.
    """

    module: str
    wanted: str
    companions: tuple[str, ...]
    not_from: str | None = None

    def version(self, reading: HostReading) -> str | None:
        """The installed version of the driver, where it is the wanted one."""
        installed = reading.installed(self.module)
        return installed if installed is not None and installed.startswith(self.wanted) else None

    def replaces(self, reading: HostReading) -> bool:
        """Whether another driver is installed, of whatever source, branch or kind of modules."""
        return self.version(reading) is None and installed_module(reading) is not None

    def installed(self, reading: HostReading) -> tuple[str, ...]:
        """Every installed package of the driver there is, libraries and firmware included."""
        version = installed_module(reading)
        if version is None:
            return ()
        upstream = version.partition("-")[0]
        return tuple(
            name
            for name, package in sorted(reading.apt.packages.items())
            if package.installed is not None
            and (
                name in self.companions
                or (is_driver_name(name) and package.installed.partition("-")[0] == upstream)
            )
        )

    def left_behind(self, reading: HostReading) -> tuple[str, ...]:
        """Libraries and tools of another version, which a change of the driver did not take along.

        Nothing of the driver there is depends on them, and with its module they do not work.
        """
        own = self.installed(reading)
        if self.version(reading) is None:
            return ()
        return tuple(
            name
            for name, package in sorted(reading.apt.packages.items())
            if package.installed is not None
            and name not in own
            and is_driver_name(name)
            and DRIVER_VERSION.match(package.installed)
        )

    def pins(self, reading: HostReading) -> tuple[Pin, ...]:
        """What apt is told: until the driver is there, its branch, and then exactly what is.

        The first matching stanza counts for a version.
        """
        pins = []
        if self.not_from is not None:
            pins.append(Pin(DRIVER_NAMES, f"release o={self.not_from}", -1))
        version = self.version(reading)
        if version is None:
            return (*pins, Pin(DRIVER_NAMES, f"version {self.wanted}*", PIN_PRIORITY))
        by_version: dict[str, list[str]] = {}
        for name in self.installed(reading):
            own = reading.installed(name)
            if own is not None and own != version:
                by_version.setdefault(own, []).append(name)
        for other, names in sorted(by_version.items()):
            pins.append(Pin(tuple(names), f"version {other}", PIN_PRIORITY))
        return (*pins, Pin(DRIVER_NAMES, f"version {version}", PIN_PRIORITY))

    def blacklist(self, reading: HostReading) -> tuple[str, ...]:
        """What unattended upgrades leave alone: expressions that match whole names.

        Without a backslash, which apt's configuration would read first.
        """
        return tuple(
            "^" + re.sub(r"([.+])", r"[\1]", name) + "$" for name in self.installed(reading)
        )


def installed_module(reading: HostReading) -> str | None:
    """The version of the installed package that the modules are built from, of any source."""
    return next(
        (
            package.installed
            for name, package in sorted(reading.apt.packages.items())
            if package.installed is not None and MODULE_PACKAGE.fullmatch(name)
        ),
        None,
    )


def installed_driver(reading: HostReading, driver_package: str) -> str | None:
    """The upstream version of the installed driver package: `550.163.01-2` is `550.163.01`."""
    installed = reading.installed(driver_package)
    return installed.partition("-")[0] if installed else None


def is_driver_name(name: str) -> bool:
    """Whether a package may be of the driver by its name; its version says whether it is."""
    return any(fnmatchcase(name, pattern) for pattern in DRIVER_NAMES)
