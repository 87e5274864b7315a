"""The phases of a box in a rollout, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where a box is. A cell's members are in one phase together."""

    WAITING = "waiting"
    PREPARING = "preparing"
    PREPARED = "prepared"
    DRAINING = "draining"
    CHANGING = "changing"
    GATE = "gate"
    SOAKING = "soaking"
    RESTORING = "restoring"
    DONE = "done"
    FAILED_RESTORED = "failed-restored"
    FAILED = "failed"
    SKIPPED = "skipped"


# A deploy says which of these it is in.
IN_A_DEPLOY = (Phase.DRAINING, Phase.CHANGING, Phase.GATE)
ENDS = frozenset({Phase.DONE, Phase.FAILED_RESTORED, Phase.FAILED, Phase.SKIPPED})
FAILURES = frozenset({Phase.FAILED_RESTORED, Phase.FAILED})

_FAILED = frozenset({Phase.FAILED_RESTORED, Phase.FAILED})
_FOLLOWING: dict[Phase, frozenset[Phase]] = {
    # One that does not serve is not prepared: its deploy touches nothing that serves.
    Phase.WAITING: frozenset({Phase.PREPARING, Phase.DRAINING}),
    Phase.PREPARING: frozenset({Phase.PREPARED, *_FAILED}),
    Phase.PREPARED: frozenset({Phase.DRAINING}),
    Phase.DRAINING: frozenset({Phase.CHANGING, Phase.GATE, Phase.SOAKING, *_FAILED}),
    Phase.CHANGING: frozenset({Phase.GATE, Phase.SOAKING, *_FAILED}),
    Phase.GATE: frozenset({Phase.SOAKING, *_FAILED}),
    Phase.SOAKING: frozenset({Phase.DONE, Phase.RESTORING}),
    Phase.RESTORING: _FAILED,
    **dict.fromkeys(ENDS, frozenset()),
}


class NotAllowed(Exception):
    """A phase that cannot follow: a defect of whoever says that it does."""


def may_follow(before: Phase, after: Phase) -> bool:
    """Whether a box in one phase may be in the other next."""
    return after in _FOLLOWING[before]


def moved(before: Phase, after: Phase) -> Phase:
    """The phase after, which may follow. Raises NotAllowed."""
    if not may_follow(before, after):
        raise NotAllowed(f"{after} cannot follow {before}")
    return after
