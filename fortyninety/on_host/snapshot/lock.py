"""Hold a commit's lock while a step works on it."""

import contextlib
import fcntl
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.folder import Folder

LOCKS = Path("/proc/locks")


def remove_lock(model: Folder, revision: str) -> None:
    """Remove the lock of a commit that is published."""
    model.remove(_name(revision))


@contextlib.contextmanager
def alone(model: Folder, revision: str) -> Iterator[None]:
    """Hold the commit's lock; a step that a dead controller left behind is ended first.

    Which process that is the kernel says, and not what a file has in it: the file can be opened by
    its owner alone, so whoever holds its lock is a step. Raises Failure where it does not end.
    """
    descriptor = _opened(model, _name(revision))
    try:
        for patience in range(200):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if patience % 50 == 0:
                    _end_holder(descriptor)
                time.sleep(0.05)
        else:
            path = model.path / _name(revision)
            raise Failure(f"{path} is held by another process that does not end")
        yield
    finally:
        os.close(descriptor)


def _name(revision: str) -> str:
    return f".lock-{revision}"


def _opened(model: Folder, name: str) -> int:
    descriptor = model.open_own(name)
    if descriptor is not None and os.fstat(descriptor).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        # As older ones were: somebody else may hold it.
        os.close(descriptor)
        descriptor = None
    return model.create(name, 0o600) if descriptor is None else descriptor


def _end_holder(descriptor: int) -> None:
    holder = _holder(descriptor)
    if holder is None or holder == os.getpid():
        return
    with contextlib.suppress(OSError):
        process = os.pidfd_open(holder)
        try:
            # Asked again: now that it is held on to, its number cannot become another's.
            if _holder(descriptor) == holder:
                signal.pidfd_send_signal(process, signal.SIGTERM)
        finally:
            os.close(process)


def _holder(descriptor: int) -> int | None:
    """The process that has the lock of an open file."""
    state = os.fstat(descriptor)
    device = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    for line in LOCKS.read_text().splitlines():
        fields = line.split()
        if "FLOCK" in fields and device in fields and "->" not in fields:
            number = fields[fields.index(device) - 1]
            return int(number) if number.isdigit() else None
    return None
