"""Have the host put back what served before where a new engine does not start or answer."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pyinfra import host
from pyinfra import state as run
from pyinfra.api.command import StringCommand

from fortyninety.connection.lease import run_of
from fortyninety.deadlines import DIAGNOSIS, UNIT
from fortyninety.operations.converge import within


@dataclass(frozen=True)
class Restoring:
    """How the program `restore` on a host is run: what it puts back, where, and what it notes.

    `port` is asked where a kept unit does not say its own, `wait` seconds are an engine's to start,
    and `then` is a shell command for a host that serves again.
    """

    program: str
    install_directory: str
    unit: str
    port: int
    wait: int
    note: str
    then: str | None = None

    def around(self, seconds: int, command: str, *, answered: bool) -> StringCommand:
        """The command, which may take so many seconds, and what makes up for its failure.

        Where it succeeds and the engine has `answered` then, an earlier failure is forgotten.
        """
        words = [
            *("python3", self.program, "--install-directory", self.install_directory),
            *("--unit", self.unit, "--port", str(self.port), "--wait", str(self.wait)),
            # While changes are only being detected no host has a lease.
            *("--run", run_of(host) if run.is_executing else "-", "--note", self.note),
            *(("--answered",) if answered else ()),
            *(("--then", self.then) if self.then else ()),
            *("--", "sh", "-c", command),
        ]
        return within(seconds + UNIT + self.wait + DIAGNOSIS, shlex.join(words))


def guarded(
    restoring: Restoring | None, seconds: int, command: str, *, answered: bool = False
) -> StringCommand:
    """The command within so many seconds, made up for where something says how.

    Say `answered` where the engine has answered once it succeeds.
    """
    if restoring is None:
        return within(seconds, command)
    return restoring.around(seconds, command, answered=answered)
