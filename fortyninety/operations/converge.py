"""Make operations from generators: from a reading of the host to the commands it needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Concatenate, ParamSpec, TypeAlias

from pyinfra import logger, state
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import FunctionCommand, PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.output import format_text
from pyinfra.api.state import State
from pyinfra.context import ctx_host

from fortyninety.connection.lease import obstacle
from fortyninety.operations.reasons import remember_failure, would_fail
from fortyninety.survey.latest import current_reading, forget_reading
from fortyninety.survey.reading import HostReading
from fortyninety.text.printable import printable

Command: TypeAlias = str | StringCommand | FunctionCommand | PyinfraCommand
P = ParamSpec("P")


def converging(
    function: Callable[Concatenate[HostReading, P], Iterator[Command]],
) -> PyinfraOperation[P]:
    """A pyinfra operation from a generator that compares the host's state and yields commands.

    The generator gets the current reading of the host first. It yields nothing, and says why with
    `host.noop`, where the host is as it should be. What it yields is counted as a change.

    Nothing is executed on a host whose lease this run has not, or has lost.
    """

    def converge(*args: P.args, **kwargs: P.kwargs) -> Generator[Command, None, None]:
        host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
        # First: whatever was read before the host was ours alone may not be true any more.
        if state.is_executing and (reason := obstacle(host)) is not None:
            yield failing(reason)
            return
        reading = current_reading(host)
        if not reading.readable:
            why = reading.unreadable or "see the survey's error above"
            yield failing(f"could not be read any more: {why}")
            return
        for command in function(reading, *args, **kwargs):
            # While changes are only being detected, nothing is executed and the reading stands.
            if state.is_executing:
                forget_reading(host)
                if (reason := obstacle(host)) is not None:
                    yield failing(reason)
                    return
            yield command

    converge.__module__ = function.__module__
    converge.__name__ = function.__name__
    converge.__doc__ = function.__doc__
    return operation()(converge)


def within(seconds: int, command: str) -> StringCommand:
    """A command that may take longer than most: so many seconds (`fortyninety.deadlines`)."""
    return StringCommand(command.strip(), _timeout=seconds)


def failing(message: str) -> FunctionCommand:
    """A command that fails this host alone, with one line and no traceback.

    An exception in an operation would stop every host of the run.
    """

    would_fail(message)

    def fail(state: State, host: Host) -> bool:
        say_failed(host, message)
        return False

    return FunctionCommand(fail, (), {})


def say_failed(host: Host, message: str) -> None:
    """Log why a host failed, under its name."""
    remember_failure(host, message)
    shown = printable(message, len(message), keep="\n")
    logger.error(f"{host.print_prefix}{format_text(shown, 'red')}")
