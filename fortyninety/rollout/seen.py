"""Hold what a controller sees of a box."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.rollout.capacity import Load
from fortyninety.rollout.record import Record
from fortyninety.rollout.soak import Measured

NOTHING = Measured()


@dataclass(frozen=True)
class BoxSeen:
    """A box as it was found. `why` says why it does not answer, `lost` that it was not reached.

    `gateway_ready` is None without a gateway.
    """

    answers: bool = False
    why: str = ""
    lost: bool = False
    configuration: str | None = None
    gateway_ready: bool | None = None
    record: Record | None = None
    measured: Measured = NOTHING
    load: Load | None = None
