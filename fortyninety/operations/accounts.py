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
    """The engine's account. An existing one is left as it is."""
    yield from system_account(reading.account.entry, user)


def system_account(entry: str | None, user: str) -> Iterator[Command]:
    """Make a system account without a home, a password or a shell, where passwd has no `entry`."""
    if entry is not None:
        host.noop(f"account {user} exists")
        return
    differs(f"account {user} is missing")
    yield (
        f"{noting_names('account', user)} && "
        "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
        f"{shlex.quote(user)}"
    )
