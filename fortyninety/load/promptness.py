"""Notice when this machine was too busy to see a token come when it came."""

from __future__ import annotations

import threading
import time

# Seconds between two looks at the clock.
STEP = 0.01


class Promptness:
    """As long as the block runs, how late this program was at most when it wanted to run."""

    def __init__(self) -> None:
        self.latest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Promptness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._over.wait(STEP):
            now = time.monotonic()
            self.latest = max(self.latest, now - before - STEP)
            before = now
