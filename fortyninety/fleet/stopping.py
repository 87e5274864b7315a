"""Have Ctrl-C stop something in an orderly way, and the second one end it.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first Ctrl-C within the block; the second is as any other."""
    before = signal.getsignal(signal.SIGINT)

    def asked(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
