"""Have the initramfs hold what the kernel is told before it meets a card, made once a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.deadlines import INITRAMFS
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading


def put_off(path: str, command: str) -> str:
    """A shell command that installs packages by `command` and leaves the initramfs to `holding`.

    Debian's packages of a driver have dpkg make three in one transaction. update-initramfs 0.148
    (Debian 13) makes none where there is one since SINCE_TIMESTAMP; an earlier one makes what it is
    asked for. Before that `path` gets the time of now, on the disk: from then on the initramfs is
    behind, whatever cuts the run.
    """
    quoted = shlex.quote(path)
    return f"touch -c {quoted} && sync {quoted} && SINCE_TIMESTAMP=0 {command}"


@converging
def holding(reading: HostReading, path: str) -> Iterator[Command]:
    """The initramfs of the kernel that boots next, made since the file at `path` was written.

    `path` must be among the survey's files, and among those that an initramfs is to hold. What
    packages made meanwhile by themselves is as good. Where it is behind by the clock alone, which
    was set back since, the file gets the time of the initramfs that was made.
    """
    kernel = reading.kernels.next
    if kernel is None or (path in reading.files and kernel not in reading.kernels.behind):
        host.noop("no kernel is installed" if kernel is None else f"the initramfs holds {path}")
        return
    differs(f"the initramfs of kernel {kernel} was made before {path}; expected it made since")
    # As packages do it, for the newest kernel; the boot loader may be set to start another one.
    script = f"""
file={shlex.quote(path)} kernel={shlex.quote(kernel)}
image=/boot/initrd.img-$kernel
behind() {{ [ -n "$(find "$file" -newer "$image" 2>/dev/null)" ]; }}
update-initramfs -u && {{ ! behind || update-initramfs -u -k "$kernel"; }} &&
  {{ ! behind || touch -r "$image" "$file"; }}
"""
    yield within(INITRAMFS, script)
