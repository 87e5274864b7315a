"""Run the snapshot program's steps on a host of the run, and ask it how far it is."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable
from typing import Any

from pyinfra.api.host import Host

from fortyninety.connection.lease import obstacle
from fortyninety.connection.shell import HostLost, shell
from fortyninety.model.steps import LOCAL, Silent, StepFailed, read_answer
from fortyninety.plan.plan import Plan
from fortyninety.plan.priority import BEHIND

# Seconds that a program has to end by itself when its time is over, and after which a host that has
# not said so is silent.
KILL_AFTER = 10
GRACE = 30
# Seconds for a host to say how far it is.
PROGRESS_TIMEOUT = 30


class HostMember:
    """A host of the run, told by its SSH connection.

    `obstacle` says why a host may not be changed, or no longer; None while it may.
    """

    def __init__(
        self, host: Host, plan: Plan, obstacle: Callable[[Host], str | None] = obstacle
    ) -> None:
        self.host = host
        self._obstacle = obstacle
        self.name = host.name
        self.address = peer_address(host, plan)
        # After what serves on the host, and what is installed there meanwhile.
        self._command = (
            f"{BEHIND} {shlex.quote(plan.paths.tools)}/bin/python "
            f"{shlex.quote(plan.paths.snapshot_program)}"
        )

    def step(self, command: str, request: dict[str, Any], seconds: float) -> object:
        """Run a step of the program, with its request on standard input: it may hold a secret.

        Nothing is done there once the run has lost the host's lease.

        The host ends it when its time is over; one that does not is silent GRACE seconds later.
        Raises StepFailed, also where the connection is gone.
        """
        if (reason := self._obstacle(self.host)) is not None:
            raise StepFailed(LOCAL, reason)
        limit = f"timeout --kill-after={KILL_AFTER} {math.ceil(seconds)}"
        try:
            output = shell(
                self.host,
                f"{limit} {self._command} {command}; echo $?",
                timeout=math.ceil(seconds) + GRACE,
                _stdin=json.dumps(request),
            )
        except HostLost as lost:
            raise Silent(str(lost)) from lost
        return read_answer(output.stdout_lines, output.stderr)


def peer_address(host: Host, plan: Plan) -> str:
    """Where the other hosts reach this one."""
    address: str = plan.settings.peer_address or host.data.get("ssh_hostname") or host.name
    return address


def bytes_here(host: Host, folders: str) -> int | None:
    """How many bytes have arrived on a host, or None where it does not say so."""
    try:
        output = shell(
            host,
            f"du -scb --exclude='.incoming-*/peer' {folders} 2>/dev/null | tail -n 1 | cut -f 1",
            timeout=PROGRESS_TIMEOUT,
        )
    except HostLost:
        return None
    said = output.stdout.strip()
    return int(said) if re.fullmatch("[0-9]{1,15}", said) else None
