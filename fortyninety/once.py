"""Compute a value once and share it between greenlets."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TypeVar

from gevent.event import AsyncResult

Key = TypeVar("Key")
Made = TypeVar("Made")


def made_once(
    results: MutableMapping[Key, AsyncResult], key: Key, make: Callable[[], Made]
) -> Made:
    """What the first caller for a key makes; the others wait until it is complete.

    Raises for all of them what `make` raises.
    """
    if (result := results.get(key)) is None:
        result = results[key] = AsyncResult()
        try:
            result.set(make())
        except Exception as error:
            result.set_exception(error)
    made: Made = result.get()
    return made
