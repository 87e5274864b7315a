"""Write the commands that try power caps on a host, and have the host itself put the old ones back.

Nothing of a host is part of a command but the UUIDs and watts that were read in these forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What puts the caps back where nobody is here any more, and seconds until then: it is told to begin
# anew while the sweep goes on.
UNIT = "fortyninety-bench-caps"
PATIENCE = 300
RENEWAL = 60

QUERY = (
    "nvidia-smi --query-gpu=uuid,power.limit,power.min_limit,power.max_limit "
    "--format=csv,noheader,nounits"
)
_LINE = re.compile(
    r"(?P<uuid>GPU-[0-9a-fA-F-]{1,60}), "
    r"(?P<cap>[0-9]{1,4}(?:\.[0-9]{1,2})?), (?P<low>[0-9]{1,4}(?:\.[0-9]{1,2})?), "
    r"(?P<high>[0-9]{1,4}(?:\.[0-9]{1,2})?)",
    re.ASCII,
)


@dataclass(frozen=True)
class Cap:
    """A card's cap as it was read, and its limits, in W."""

    uuid: str
    watts: float
    low: float
    high: float


def read_caps(text: str) -> tuple[Cap, ...] | None:
    """The caps in an answer of QUERY; None where a line is none of a card with a cap."""
    found = [_LINE.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    if not found:
        return None
    caps = []
    for line in found:
        if line is None:
            return None
        caps.append(Cap(line["uuid"], *(float(line[key]) for key in ("cap", "low", "high"))))
    return tuple(caps)


def refused(caps: Sequence[Cap], wanted: Sequence[int]) -> str | None:
    """Why cards cannot have the caps that are to be tried, in one line; None where they can."""
    low, high = max(cap.low for cap in caps), min(cap.high for cap in caps)
    wrong = [watts for watts in wanted if not low <= watts <= high]
    if not wrong:
        return None
    return f"{', '.join(map(str, wrong))} W is outside the cards' limits, {low:g} to {high:g} W"


def setting(caps: Sequence[Cap], watts: int | None = None) -> str:
    """The command that gives every card these watts, or those that it had."""
    return " && ".join(
        f"nvidia-smi --id={cap.uuid} --power-limit={cap.watts if watts is None else watts:g}"
        for cap in caps
    )


def guarding(caps: Sequence[Cap]) -> str:
    """The command that has the host put the caps back by itself after PATIENCE seconds."""
    return (
        f"systemd-run --quiet --collect --unit={UNIT} --on-active={PATIENCE} "
        f"--timer-property=AccuracySec=1s /bin/sh -c '{setting(caps)}'"
    )


# Begins the PATIENCE seconds anew; fails where nothing guards the caps any more.
RENEWING = f"systemctl is-active --quiet {UNIT}.timer && systemctl restart {UNIT}.timer"
# Once the caps are back.
RELEASING = f"systemctl stop {UNIT}.timer"
