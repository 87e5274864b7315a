"""Say how a rollout goes through a fleet: who comes first, how many at once, when it stops."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import assert_never

_BATCH = re.compile(r"(?P<number>\d{1,4})(?P<percent>%?)", re.ASCII)


@dataclass(frozen=True)
class Count:
    """So many units."""

    units: int

    def __str__(self) -> str:
        return str(self.units)


@dataclass(frozen=True)
class Share:
    """So many of a hundred units, and at least one."""

    percent: int

    def __str__(self) -> str:
        return f"{self.percent}%"


Batch = Count | Share


@dataclass(frozen=True)
class Policy:
    """What was asked for. `floor` is how many units have to go on serving, `soak` seconds."""

    canary: int = 1
    batch: Batch = Share(25)
    max_failed: int = 0
    soak: int = 60
    floor: int = 0


def batch_size(batch: Batch, fleet: int) -> int:
    """How many units of a fleet may be out of service at once: one at least."""
    match batch:
        case Count(units):
            return max(1, min(units, fleet))
        case Share(percent):
            return max(1, fleet * percent // 100)
        case _:
            assert_never(batch)


def read_batch(text: str) -> Batch:
    """A batch as it is written: "3" or "25%". Raises ValueError, which says what is expected."""
    found = _BATCH.fullmatch(text)
    number = int(found["number"]) if found else 0
    if found is None or number < 1 or (found["percent"] and number > 100):
        raise ValueError("expected a number of boxes such as 3, or a share such as 25%")
    return Share(number) if found["percent"] else Count(number)
