"""Read what a box notes of the rollout that it is in: the truth, also for another controller."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from fortyninety.rollout.phases import Phase

LONGEST = 2000
_ID = re.compile(r"[0-9a-f]{4,16}", re.ASCII)
_TARGET = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
LATEST = 253_000_000_000


@dataclass(frozen=True)
class Record:
    """The rollout, what the box is to become (its configuration's digest), its phase, when."""

    rollout: str
    target: str
    phase: Phase
    time: int

    def text(self) -> str:
        """As it stands on the box."""
        values = {
            "id": self.rollout,
            "target": self.target,
            "phase": self.phase.value,
            "time": self.time,
        }
        return json.dumps(values) + "\n"


def is_rollout_id(text: str) -> bool:
    """Whether a rollout may be called so."""
    return _ID.fullmatch(text) is not None


def read_record(text: str) -> Record | None:
    """The record of a box's text; None for any that no rollout writes."""
    if len(text) > LONGEST:
        return None
    try:
        found = json.loads(text)
        phase = Phase(found["phase"])
        rollout, target, time = found["id"], found["target"], found["time"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not (isinstance(rollout, str) and is_rollout_id(rollout)):
        return None
    if not (isinstance(target, str) and _TARGET.fullmatch(target)):
        return None
    if type(time) is not int or not 0 <= time <= LATEST:
        return None
    return Record(rollout, target, phase, time)
