"""Define API keys: what is kept of each, which is never the key itself, and how one is made."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# Says to scanners of repositories and to people what the rest is.
PREFIX = "fn90-"
RANDOM_BYTES = 32
# As HAProxy compares it, in seconds since 1970: later than any date that a key can have.
NEVER = 9_999_999_999_999

# A word of a map, a log line and a metric alike. No ":", which parts the fields of an entry.
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="1 to 63 lower-case letters, digits and '-', no '-' in front",
    ),
]
RequestsPerMinute = Annotated[
    int, Field(ge=1, le=100_000, description="a whole number of 1 to 100000")
]
Concurrent = Annotated[int, Field(ge=1, le=1_000, description="a whole number of 1 to 1000")]
State = Literal["usable", "expired", "revoked"]


class Key(BaseModel):
    """A key that was given to somebody. `expires` is its last day, in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Name
    tenant: Name
    # Unsalted: right for 256 random bits, which nobody guesses, and for no word of a person's.
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    requests_per_minute: RequestsPerMinute
    concurrent: Concurrent
    created: date
    expires: date | None = None
    revoked: date | None = None

    @property
    def expires_at(self) -> int:
        """The first second since 1970 in which it is expired."""
        if self.expires is None or self.expires == date.max:
            return NEVER
        return int(datetime.combine(self.expires + timedelta(days=1), time(), UTC).timestamp())

    def state(self, now: datetime) -> State:
        """What it is now."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if now.timestamp() >= self.expires_at else "usable"


def new_secret() -> str:
    """Return a new key, of 256 random bits."""
    return f"{PREFIX}{secrets.token_urlsafe(RANDOM_BYTES)}"


def digest(secret: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()
