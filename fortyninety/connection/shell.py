"""Run commands on a host outside any operation."""

from __future__ import annotations

from typing import Any

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.host import Host

from fortyninety.connection.bounded import HostChannel, HostLost, bounded

__all__ = ["HostLost", "attempt", "conversation", "shell"]


def shell(host: Host, command: str, *, timeout: float | None = None, **arguments: Any) -> Any:
    """Run a command on a connected host as its data says, with sudo or without.

    `timeout` is in seconds (`fortyninety.deadlines`; default COMMAND), `arguments` are pyinfra's
    own, such as `_stdin`. Returns pyinfra's output, whether the command succeeded or not. Raises
    HostLost where it cannot be run or is not done in time.
    """
    return attempt(host, command, timeout=timeout, **arguments)[1]


def attempt(
    host: Host, command: str, *, timeout: float | None = None, **arguments: Any
) -> tuple[bool, Any]:
    """As `shell`, and whether the command succeeded."""
    return bounded(host).ask(command, timeout, **{**_own(host), **arguments})


def conversation(host: Host, command: str) -> HostChannel:
    """Begin a command that reads and writes lines, as `shell` would run it. Raises ChannelLost."""
    return bounded(host).open(command, **_own(host))


def _own(host: Host) -> dict[str, Any]:
    """How the host's data say that commands are run."""
    own, _ = pop_global_arguments(host.state, host, {})
    return {key: value for key, value in own.items() if key in CONNECTOR_ARGUMENT_KEYS}
