"""Wait for what happens elsewhere, within bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tests.unit.gateway.fake_engine import PATIENCE
from tests.unit.gateway.running_gateway import Answer


def in_background(ask: Callable[..., Answer], *arguments: Any) -> Future[Answer]:
    """Ask in a thread that a test which fails does not wait for."""
    asked: Future[Answer] = Future()

    def run() -> None:
        try:
            asked.set_result(ask(*arguments))
        except Exception as error:
            asked.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return asked


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds, which nothing reports."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
