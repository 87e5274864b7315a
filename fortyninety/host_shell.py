"""Commands on a host outside any operation."""

from __future__ import annotations

from typing import Any

from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host


class HostLost(Exception):
    """A host could not be asked, with the reason in one line."""


def shell(host: Host, command: str, **arguments: Any) -> Any:
    """Run a command on a connected host as its data says, with sudo or without.

    `arguments` are pyinfra's own, such as `_stdin`. Returns pyinfra's output whether the command
    succeeded or not. Raises HostLost where it cannot be run at all.
    """
    return attempt(host, command, **arguments)[1]


def attempt(host: Host, command: str, **arguments: Any) -> tuple[bool, Any]:
    """As `shell`, and whether the command succeeded."""
    own, _ = pop_global_arguments(host.state, host, {})
    connector = {key: value for key, value in own.items() if key in CONNECTOR_ARGUMENT_KEYS}
    try:
        return host.run_shell_command(command, **{**connector, **arguments})
    except (PyinfraError, OSError, EOFError) as error:
        raise HostLost(f"cannot be reached: {error}") from error
