"""Read the programs that run on hosts: files of fortyninety/on_host/, archives of its packages."""

from __future__ import annotations

import base64
import io
import shlex
import zipfile
from functools import cache

from fortyninety.checkout import PACKAGE

BUILD_ENVIRONMENT = "build_environment.py"
SEAL_ENVIRONMENT = "seal_environment.py"
TRY_ENGINE = "try_engine.py"
CHECK_COMMAND_LINE = "check_command_line.py"
ROLL_BACK = "roll_back.py"
COMPLETE = "complete.py"
CELL_MEMBER = "cell_member.py"
GATEWAY_CONTROL = "gateway_control.py"
FRONT_READY = "front_ready.sh"
ROLLED_OUT = "rolled_out.py"
# Run from standard input, and never put on a host.
BOX_STATUS = "box_status.py"
ASK_GATEWAY = "ask_gateway.py"
# Packages, which become one file each.
SNAPSHOT = "snapshot"
ENGINE_FAILURE = "engine_failure"
SIGNALS = "signals"
RESTORE = "restore"
DRAIN = "drain"
# One that the engine imports, and nobody runs.
TENANTS = "tenants"

# What a package of `fortyninety/on_host/` imports from outside of itself.
_BESIDE = {
    DRAIN: ("fortyninety/on_host/gateway_control.py",),
    SNAPSHOT: ("fortyninety/on_host/checkpoint_files.py",),
    RESTORE: ("fortyninety/on_host/roll_back.py",),
}
# Run an archive that comes in base64 on standard input, and leave nothing: it is a file without a
# name in memory, so that it also runs where no folder can be written to or executed from.
_FROM_INPUT = (
    "import base64, os, sys; "
    "archive = os.memfd_create('archive', 0); "
    "os.write(archive, base64.b64decode(sys.stdin.read())); "
    "os.execv(sys.executable, [sys.executable, f'/proc/self/fd/{archive}', *sys.argv[1:]])"
)


def program(file_name: str) -> str:
    """Return the text of a program of `fortyninety/on_host/` that is one file."""
    return (PACKAGE / "on_host" / file_name).read_text()


@cache
def archive(package: str) -> bytes:
    """Return a package of `fortyninety/on_host/` as one file that python3 runs.

    The same bytes on every machine: without times, owners and compression.
    """
    start = f"import sys\n\nfrom {_dotted(package)}.__main__ import main\n\nsys.exit(main())\n"
    return b"#!/usr/bin/env python3\n" + _packed(package, {"__main__.py": start.encode()})


@cache
def importable(package: str) -> bytes:
    """Return a package of `fortyninety/on_host/` as one file for PYTHONPATH."""
    return _packed(package, {})


def _packed(package: str, start: dict[str, bytes]) -> bytes:
    folder = _dotted(package).replace(".", "/")
    sources = sorted(path.name for path in (PACKAGE.parent / folder).glob("*.py"))
    own = (f"{folder}/{name}" for name in sources)
    names = ["fortyninety/__init__.py", *_BESIDE.get(package, ()), *own]
    members = {name: (PACKAGE.parent / name).read_bytes() for name in names}
    # It has none in the checkout; in an archive a folder is a package only with one.
    members["fortyninety/on_host/__init__.py"] = b""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in {**start, **members}.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            packed.writestr(entry, content)
    return buffer.getvalue()


def _dotted(package: str) -> str:
    return f"fortyninety.on_host.{package}"


def run_from_input(package: str, *arguments: str) -> tuple[str, str]:
    """Return a shell command that runs a package's archive, and what it wants on standard input.

    Nothing is left on the host, whatever ends it.
    """
    command = ["python3", "-c", _FROM_INPUT, *arguments]
    return shlex.join(command), base64.b64encode(archive(package)).decode()
