"""Programs that read a host where a shell would be slow: Python's standard library, no changes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from testinfra.host import Host

from tests.host.bounded_ssh import COMMAND_SECONDS

FOLDER = Path(__file__).parent


def read(host: Host, program: str, *arguments: str, seconds: int = COMMAND_SECONDS) -> Any:
    """What a program of this folder prints as JSON on the host, run there by its own python3.

    It has `seconds` for it.
    """
    source = (FOLDER / f"{program}.py").read_text()
    words = " ".join(shlex.quote(argument) for argument in arguments)
    ran = host.run(f"python3 -I -c {shlex.quote(source)} {words}", seconds=seconds)
    assert ran.rc == 0, (
        f"the host's python3 ended with {ran.rc} in {program}: {ran.stderr.strip()[-500:]}. "
        "Look at it by hand"
    )
    return json.loads(ran.stdout)
