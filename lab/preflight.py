"""Refuse a machine that cannot carry a lab, with all reasons at once, before anything is done."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab import cgroups
from lab.errors import LabError

# The program, and the Debian package that brings it.
_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "gcc": "gcc",
    "apt-cacher-ng": "apt-cacher-ng",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "dpkg-deb": "dpkg",
}
# The C library's headers; gcc alone does not bring them.
_C_HEADER = Path("/usr/include/stdio.h")


def check() -> None:
    """Raise LabError with every reason at once, and the apt command that brings what is missing."""
    reasons, packages = missing(shutil.which)
    if not reasons:
        return
    message = "this machine cannot carry a lab:\n" + "\n".join(f"  - {line}" for line in reasons)
    if packages:
        message += f"\nInstall what is missing: apt-get install {' '.join(sorted(packages))}"
    raise LabError(message)


def missing(which: Callable[[str], str | None]) -> tuple[list[str], set[str]]:
    """The reasons against a lab here, and the packages that would remove some of them."""
    reasons: list[str] = []
    packages: set[str] = set()
    if os.geteuid() != 0:
        reasons.append(f"root is needed for namespaces and mounts; this is user id {os.geteuid()}")
    for program, package in _PROGRAMS.items():
        # Not every user has the administrator's folders on PATH.
        if not which(program) and not Path("/usr/sbin", program).exists():
            reasons.append(f"the program {program} is not installed")
            packages.add(package)
    if not _C_HEADER.exists():
        reasons.append(f"the C library's headers are not installed ({_C_HEADER} is missing)")
        packages.add("libc6-dev")
    try:
        cgroups.unified_root()
    except LabError as error:
        reasons.append(str(error))
    if not _overlay_supported():
        reasons.append(
            "the kernel has no overlay file system: `modprobe overlay` must work; inside another "
            "container it may have to be loaded outside"
        )
    return reasons, packages


def _overlay_supported() -> bool:
    def listed() -> bool:
        return "overlay" in Path("/proc/filesystems").read_text().split()

    if not listed() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "overlay"], capture_output=True, check=False)
    return listed()
