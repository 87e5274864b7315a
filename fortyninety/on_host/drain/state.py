"""Hold until when a box is drained, since when, why and by whom, in a file of one line of JSON."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from fortyninety.on_host.gateway_control import LARGEST_DRAINED, write_file

LONGEST_REASON = 200
LONGEST_WHO = 120
LONGEST_SECONDS = 24 * 3600
# In the year 9999.
LATEST = 253_000_000_000
# What those that a deploy drained are known by: it ends them itself, and the next one does.
OF_DEPLOY = "deploy of "


@dataclass(frozen=True)
class Drained:
    """A box that gets nothing new; times in seconds since 1970."""

    since: int
    until: int
    reason: str
    by: str

    @property
    def is_of_a_deploy(self) -> bool:
        """Whether a deploy did it, and not somebody who wants it so."""
        return self.by.startswith(OF_DEPLOY)


def checked(reason: str, by: str, seconds: int) -> None:
    """Raise ValueError for what may not stand in the file."""
    for what, text, longest in (("reason", reason, LONGEST_REASON), ("by", by, LONGEST_WHO)):
        if not _is_line(text, longest):
            raise ValueError(
                f"{what} {text!r:.80}; expected a line of 1 to {longest} printable characters"
            )
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"for {seconds} s; expected 1 to {LONGEST_SECONDS}")


def parse(text: str | bytes) -> Drained | None:
    """What the text of the file says; None where it cannot be understood."""
    try:
        found = json.loads(text)
        drained = Drained(**{key: found[key] for key in ("since", "until", "reason", "by")})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    times = all(type(at) is int and 0 <= at <= LATEST for at in (drained.since, drained.until))
    lines = _is_line(drained.reason, LONGEST_REASON) and _is_line(drained.by, LONGEST_WHO)
    return drained if times and lines else None


def read(path: Path) -> Drained | None:
    """What the file says; None where it is not there, is over or cannot be understood."""
    try:
        with path.open("rb") as file:
            drained = parse(file.read(LARGEST_DRAINED))
    except OSError:
        return None
    return drained if drained is not None and drained.until > time.time() else None


def _is_line(text: object, longest: int) -> bool:
    return (
        isinstance(text, str)
        and 0 < len(text) <= longest
        and text.isprintable()
        and bool(text.strip())
    )


def write(path: Path, drained: Drained) -> None:
    """Replace the file, for everybody to read."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(path, f"{json.dumps(asdict(drained))}\n", 0o644)
