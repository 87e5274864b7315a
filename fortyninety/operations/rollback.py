"""Going back to the unit that served before."""

from __future__ import annotations

import json
import shlex
from collections.abc import Generator
from io import BytesIO

from pyinfra.api.command import FileUploadCommand, FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State

from fortyninety.fleet import report
from fortyninety.host_programs import ROLL_BACK, program
from fortyninety.operations.converging import Command
from fortyninety.plan import SERVICE_UNIT
from fortyninety.settings import Settings


@operation(is_idempotent=False)
def rolled_back(settings: Settings, engine: str | None) -> Generator[Command, None, None]:
    """The latest other unit that served, of release `engine` if given, in place and answering.

    What the program on the host says of it is this operation's output; it never fails by itself.
    """
    path = f"{settings.install_directory}/bin/roll-back"
    yield f"mkdir -p {shlex.quote(settings.install_directory)}/bin"
    yield FileUploadCommand(BytesIO(program(ROLL_BACK).encode()), path)
    options = [
        *("--install-directory", settings.install_directory, "--unit", SERVICE_UNIT),
        *("--port", str(settings.port), "--wait", str(settings.ready_timeout)),
        *(("--engine", engine) if engine else ()),
    ]
    yield f"python3 {shlex.quote(path)} {shlex.join(options)}"


@operation(is_idempotent=False)
def reported(done: OperationMeta) -> Generator[Command, None, None]:
    """Pass on what `rolled_back` said, and fail the host where it was an error."""

    def pass_on(state: State, host: Host) -> bool:
        result = json.loads(done.stdout_lines[-1])
        report(host.name, result)
        return "error" not in result

    yield FunctionCommand(pass_on, (), {})
