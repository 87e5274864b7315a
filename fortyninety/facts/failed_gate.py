"""Read which unit last failed its gate on a host."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from pyinfra.api.facts import FactBase

from fortyninety.facts.answers import number_of, read_object, text_of
from fortyninety.survey.records import Unreadable

# Seconds since 1970: in the year 9999.
LATEST = 253_000_000_000


@dataclass(frozen=True)
class Failed:
    """A configuration that failed, at which time (since 1970), and why."""

    configuration: str
    at: int
    cause: str

    @property
    def time(self) -> str:
        """When, in words. A host's clock may be wrong: no year has more than four digits here."""
        return datetime.fromtimestamp(min(self.at, LATEST), UTC).strftime("%Y-%m-%d %H:%M UTC")


class FailedGate(FactBase[Failed | None]):
    """What the program `restore` noted; None where it noted nothing, or not in its form."""

    def command(self, note: str) -> str:
        """Always succeeds."""
        return f"head -c 10000 {shlex.quote(note)} 2>/dev/null || true"

    @staticmethod
    def default() -> Failed | None:
        """Nothing failed yet."""
        return None

    def process(self, output: list[str]) -> Failed | None:
        """The note."""
        try:
            found = read_object("\n".join(output))
            return Failed(
                text_of(found, "configuration") or "",
                number_of(found, "at"),
                text_of(found, "cause") or "",
            )
        except Unreadable:
            return None
