"""Check the types and bounds of a checkpoint's `config.json` before computing from it.

A hub, a mirror or whoever wrote a folder may have put anything there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fortyninety.fit.errors import CheckpointError
from fortyninety.text.short_repr import short_repr


def refused(key: str, value: Any, expected: str) -> CheckpointError:
    """What to raise for a value that is not as expected."""
    return CheckpointError(f"config.json: {key} is {short_repr(value)}; expected {expected}")


def size(config: Mapping[str, Any], key: str, most: int, default: int | None = None) -> int:
    """A whole number from 1 to `most`; `default` where there is none. Raises CheckpointError."""
    value = config.get(key)
    if value is None:
        value = default
    if type(value) is not int or not 1 <= value <= most:
        raise refused(key, config.get(key), f"a whole number from 1 to {most}")
    return value


def choice(config: Mapping[str, Any], key: str, allowed: tuple[int, ...]) -> int:
    """One of a few whole numbers. Raises CheckpointError."""
    value = config.get(key)
    if type(value) is not int or value not in allowed:
        shown = ", ".join(map(str, allowed)) if len(allowed) < 5 else f"1 to {allowed[-1]}"
        raise refused(key, value, shown)
    return value


def flag(config: Mapping[str, Any], key: str) -> bool:
    """True or False; False where there is nothing. Raises CheckpointError."""
    value = config.get(key)
    if value is not None and not isinstance(value, bool):
        raise refused(key, value, "true or false")
    return bool(value)


def share(config: Mapping[str, Any], key: str) -> float:
    """A number above 0 and up to 1; 1 where there is none. Raises CheckpointError."""
    value = config.get(key)
    if value is None:
        return 1.0
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 < value <= 1:
        raise refused(key, value, "a number above 0, at most 1")
    return float(value)


def mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object; an empty one where there is none. Raises CheckpointError."""
    value = config.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refused(key, value, "an object")
    return value


def texts(config: Mapping[str, Any], key: str, *, most: int, longest: int) -> tuple[str, ...]:
    """A list of texts; an empty one where there is none. Raises CheckpointError."""
    value = config.get(key)
    if value is None:
        return ()
    if (
        not isinstance(value, list)
        or len(value) > most
        or not all(isinstance(each, str) and len(each) <= longest for each in value)
    ):
        raise refused(key, value, f"a list of at most {most} texts of at most {longest} characters")
    return tuple(value)


def pair(config: Mapping[str, Any], key: str, most: int) -> tuple[int, int] | None:
    """Two whole numbers from 1 to `most`, or None. Raises CheckpointError."""
    value = config.get(key)
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(each) is int and 1 <= each <= most for each in value)
    ):
        raise refused(key, value, f"two whole numbers from 1 to {most}")
    return value[0], value[1]
