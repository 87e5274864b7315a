"""Let one command change the lab at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from lab import paths
from lab.progress import note


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the machine's lab lock; wait for whoever holds it. The kernel frees it on any death."""
    paths.LOCK_FILE.parent.mkdir(parents=True, exist_ok=True)
    with paths.LOCK_FILE.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("waiting for another lab command to finish ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
