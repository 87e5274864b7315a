"""Create the unprivileged account that the service runs as."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.operations.brought import noting_names
from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading


@converging
def service_user(reading: HostReading, user: str) -> Iterator[Command]:
    """A system account without a home, a password or a shell. An existing one is left as it is."""
    if reading.account.entry is not None:
        host.noop(f"account {user} exists")
        return
    differs(f"account {user} is missing")
    yield (
        f"{noting_names('account', user)} && "
        "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
        f"{shlex.quote(user)}"
    )
