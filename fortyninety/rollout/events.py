"""Name what happens in a rollout, and what is to be done next."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.rollout.phases import Phase


@dataclass(frozen=True)
class Begun:
    """What was to be done next is being done."""

    action: Action


@dataclass(frozen=True)
class Prepared:
    """A unit has all that can be brought without a restart."""

    unit: str


@dataclass(frozen=True)
class Moved:
    """A deploy says how far it is on a unit."""

    unit: str
    phase: Phase


@dataclass(frozen=True)
class Changed:
    """A unit has what it was to get, and answered."""

    unit: str


@dataclass(frozen=True)
class Passed:
    """A unit did as well under load as the others."""

    unit: str


@dataclass(frozen=True)
class Refused:
    """A unit answers and does worse than the others: it is to go back."""

    unit: str
    why: str


@dataclass(frozen=True)
class Failed:
    """A unit did not get what it was to get. `serves` is whether it answers as before."""

    unit: str
    why: str
    serves: bool


@dataclass(frozen=True)
class Lost:
    """A unit serves no longer, by nothing that the rollout did."""

    unit: str


@dataclass(frozen=True)
class Found:
    """A unit that was lost serves again."""

    unit: str


@dataclass(frozen=True)
class StopAsked:
    """Somebody wants no further unit to be begun."""

    why: str


Event = Begun | Prepared | Moved | Changed | Passed | Refused | Failed | Lost | Found | StopAsked


@dataclass(frozen=True)
class Prepare:
    """Bring to these units, side by side, what restarts nothing."""

    units: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """Deploy to these units. `stage` is which part of the rollout it is: "canary", "batch"."""

    units: tuple[str, ...]
    stage: str


@dataclass(frozen=True)
class Soak:
    """Watch these units under load, beside those that were not changed."""

    units: tuple[str, ...]


@dataclass(frozen=True)
class Restore:
    """Put back what these units served."""

    units: tuple[str, ...]


@dataclass(frozen=True)
class Wait:
    """Something is being done."""


@dataclass(frozen=True)
class End:
    """Nothing is left to do; `why` is empty where all units are as they were to be."""

    why: str = ""


Action = Prepare | Change | Soak | Restore | Wait | End
