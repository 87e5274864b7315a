"""Keep pyinfra from telling of a run on its way, which a look at hosts is not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from pyinfra import logger


@contextmanager
def errors_alone() -> Iterator[None]:
    """Without what pyinfra says, but for what ends it."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
