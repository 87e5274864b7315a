"""Install the CUDA toolkit, without a second driver."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from pyinfra import host

from fortyninety.operations.apt.packages import (
    APT_GET,
    FETCH_LISTS,
    FETCHING_LISTS,
    LOCK_TIMEOUT,
    apt_command,
    transaction,
)
from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import only_asks
from fortyninety.packages.package import Package
from fortyninety.survey.reading import HostReading

# What of a driver a toolkit might drag in or take away: its library, its modules, its tools.
DRIVER_PARTS = (
    "^(libcuda1|libnvidia-ml1|libnvidia-compute(-[0-9]+)?|cuda-drivers(-[0-9]+)?|nvidia-driver.*"
    "|nvidia-(open-)?kernel-(open-)?dkms|nvidia-open-kernel-dkms|nvidia-dkms(-.*)?)$"
)


@converging
def without_driver(
    reading: HostReading, wanted: Sequence[Package], *, lock_timeout: int = LOCK_TIMEOUT
) -> Iterator[Command]:
    """apt, asked beforehand, would neither install nor remove a driver for what is `wanted`."""
    missing = [each for each in wanted if not each.satisfied_by(reading.installed(each.name))]
    if not missing:
        host.noop("the toolkit is installed")
        return
    only_asks("whether the toolkit would bring a driver along, which apt is asked beforehand")
    yield apt_command(FETCH_LISTS, FETCHING_LISTS, lock_timeout)
    names = shlex.quote(" ".join(each.name for each in missing))
    yield f"""
if ! planned=$({APT_GET} --simulate install {transaction(missing, ())}); then
  echo "apt finds no way to install" {names} "and keep the driver; nothing was installed." \\
    "Choose another cuda_version, or the driver_branch that it came with" >&2
  exit 1
fi
driver=$(printf '%s\\n' "$planned" | awk '$1 == "Inst" || $1 == "Remv" {{ print $2 }}' |
  grep -Ex {shlex.quote(DRIVER_PARTS)} | tr '\\n' ' ')
if [ -n "$driver" ]; then
  echo {names} "would install or remove $driver; expected no part of a driver." \\
    "Nothing of the toolkit was installed: choose another cuda_version, or look at" \\
    "\\`apt-get --simulate install\\` on the host" >&2
  exit 1
fi
""".strip()
