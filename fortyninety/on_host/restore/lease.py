"""Change the host only where the run that asked for it, or nobody, has its lease."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fortyninety.on_host.roll_back import Failure, alone

# As hold_lease.sh has them.
FOLDER = Path("/run/fortyninety")


@contextmanager
def still_ours(run: str) -> Iterator[None]:
    """While nobody but the run may change the host. Raises Failure where another one may.

    Where the run is gone and nobody has taken the lease since, it is held meanwhile.
    """
    with alone():
        descriptor = os.open(FOLDER / "lease", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if holder() != run:
                    raise Failure("another run changes this host by now") from None
            yield
        finally:
            os.close(descriptor)


def holder() -> str:
    """The run that has the lease, or had it last; "" where that is not known."""
    words: list[str] = []
    with suppress(OSError):
        words = (FOLDER / "holder").read_text(errors="replace").split()
    return words[2] if len(words) > 2 else ""
