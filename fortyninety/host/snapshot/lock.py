"""Hold a commit's lock while a step works on it."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator

from fortyninety.host.snapshot.failures import Failure
from fortyninety.host.snapshot.places import Places


@contextlib.contextmanager
def alone(places: Places) -> Iterator[None]:
    """Hold the commit's lock; a step that a dead controller left behind is ended first."""
    with places.lock.open("a+") as lock:
        for patience in range(200):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                if patience % 50 == 0 and (left := lock.read().strip()).isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(left), signal.SIGTERM)
                time.sleep(0.05)
        else:
            raise Failure(f"{places.lock} is held by another process that does not end")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
