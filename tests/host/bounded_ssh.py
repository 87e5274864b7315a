"""Testinfra's SSH with an end to every command: a hung card must not hang whoever looks at it."""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult

from tests.host.host_shell import HostShell

# How long a command may take, in seconds: the slowest that hashes nothing large took 12 on a lab
# host that shared two cores with seven others.
COMMAND_SECONDS = 120
# And one that hashes a checkpoint or an environment at low priority: 39.8 GB at 22 MB/s.
HASHING_SECONDS = 1800


class HostHangsError(AssertionError):
    """A command came to no end."""


class EndedCommand(CommandResult):
    """How a command ended, in words where a test did not expect its exit code."""

    def __str__(self) -> str:
        lines = self.stderr.strip().splitlines()
        said = lines[-1].strip()[:300] if lines else "nothing"
        return f"`{_shortened(self.command.decode(errors='replace'))}`, which said: {said}"


class BoundedSshBackend(BaseBackend):
    """Ends a command that takes too long, and starts no program again that did.

    nvidia-smi waits for ever for a card that the driver has lost, and so does `find` for a dead
    file server: with one wait for each test, a look at one box would take an hour.
    """

    NAME = "ssh"

    def __init__(self, hostname: str, shell: HostShell) -> None:
        super().__init__(hostname)
        self._shell = shell
        self._hung: dict[str, int] = {}

    def run(
        self, command: str, *args: str, seconds: int = COMMAND_SECONDS, **_: Any
    ) -> CommandResult:
        """Run a command on the host for at most `seconds`.

        Raises HostHangsError, or RuntimeError where the connection ends.
        """
        quoted = self.quote(command, *args)
        return self._ran(command, quoted, seconds, lambda: self._shell.run(quoted, seconds))

    def run_program(
        self, source: str, *arguments: str, seconds: int = COMMAND_SECONDS
    ) -> CommandResult:
        """Run a program by the host's own python3, as `run` does a command."""
        shown = f"python3 -I -c {quote(source)}"
        return self._ran(
            shown, shown, seconds, lambda: self._shell.run_program(source, arguments, seconds)
        )

    def _ran(
        self,
        command: str,
        quoted: str,
        seconds: int,
        run: Callable[[], tuple[int, bytes, bytes]],
    ) -> CommandResult:
        program = command.split(maxsplit=1)[0]
        if program in self._hung:
            raise HostHangsError(_said(command, self._hung[program]))
        try:
            code, output, errors = run()
        except TimeoutError:
            # An interpreter is not what hangs, but what it runs.
            if program not in ("cd", "python3", "sh"):
                self._hung[program] = seconds
            raise HostHangsError(_said(command, seconds)) from None
        except ConnectionError as error:
            raise RuntimeError(f"`{_shortened(command)}` has no answer: {error}") from None
        return EndedCommand(self, code, quoted.encode(), output, errors)


def _said(command: str, seconds: int) -> str:
    return (
        f"`{_shortened(command)}` has not ended after {seconds} s; expected an answer. Look on the "
        "host with `ps -eo pid,stat,wchan:32,args` at what it waits for; a process in state D, as "
        "nvidia-smi with a lost card, ends with a reboot alone"
    )


def _shortened(command: str) -> str:
    command = " ".join(command.split())
    return command if len(command) <= 100 else f"{command[:100]}..."
