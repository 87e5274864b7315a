"""Testinfra's SSH with an end to every command: a hung card must not hang whoever looks at it."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend

# How long a command may take, in seconds: the slowest that hashes nothing large took 12 on a lab
# host that shared two cores with seven others.
COMMAND_SECONDS = 120
# And one that hashes a checkpoint or an environment at low priority: 39.8 GB at 22 MB/s.
HASHING_SECONDS = 1800


class HostHangsError(AssertionError):
    """A command came to no end."""


class BoundedSshBackend(SshBackend):
    """Ends a command that takes too long, and starts no program again that did.

    nvidia-smi waits for ever for a card that the driver has lost, and so does `find` for a dead
    file server: with one wait for each test, a look at one box would take an hour.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hung: dict[str, int] = {}
        self._seconds = COMMAND_SECONDS

    def run(
        self, command: str, *args: str, seconds: int = COMMAND_SECONDS, **kwargs: Any
    ) -> CommandResult:
        """Run a command on the host for at most `seconds`. Raises HostHangsError."""
        program = command.split(maxsplit=1)[0]
        if program in self._hung:
            raise HostHangsError(self._said(command, self._hung[program]))
        self._seconds = seconds
        try:
            return super().run(command, *args, **kwargs)
        except subprocess.TimeoutExpired:
            # An interpreter is not what hangs, but what it runs.
            if program not in ("cd", "python3", "sh"):
                self._hung[program] = seconds
            raise HostHangsError(self._said(command, seconds)) from None

    def run_local(self, command: str, *args: str) -> CommandResult:
        """Run OpenSSH; raises subprocess.TimeoutExpired, with nothing of it left here."""
        words = self.encode(self.quote(command, *args))
        with subprocess.Popen(
            words,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=self._seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return self.result(process.returncode, words, output, errors)

    def _said(self, command: str, seconds: int) -> str:
        shown = command if len(command) <= 100 else f"{command[:100]}..."
        return (
            f"`{shown}` has not ended after {seconds} s; expected an answer. Look on the host with "
            "`ps -eo pid,stat,wchan:32,args` at what it waits for; a process in state D, as "
            "nvidia-smi with a lost card, ends with a reboot alone"
        )
