"""Python environments from a hashed lock, made beside the live one and marked when whole."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pyinfra import host
from pyinfra.api.command import FileUploadCommand

from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging
from fortyninety.plan import complete_marker


@converging
def host_tools(state: HostState, directory: str, lock: Path, lock_path: str) -> Iterator[Command]:
    """uv and the hub's client, in an environment of the host's own python3, from a hashed lock.

    `lock` is the file here, `lock_path` where it goes on the host.
    """
    if complete_marker(directory) in state.files:
        host.noop(f"{directory} is whole")
        return
    yield from _upload_lock(directory, lock, lock_path)
    yield (
        f"rm -rf {shlex.quote(directory)} && python3 -m venv {shlex.quote(directory)} && "
        f"{shlex.quote(directory)}/bin/pip install --quiet --disable-pip-version-check "
        f"--no-deps --require-hashes -r {shlex.quote(lock_path)}"
    )
    yield f"touch {shlex.quote(complete_marker(directory))}"


@converging
def engine(
    state: HostState,
    directory: str,
    lock: Path,
    lock_path: str,
    *,
    tools: str,
    python: str,
    distribution: str,
    version: str,
) -> Iterator[Command]:
    """The engine's environment: `python` (such as "3.11") and exactly what `lock` says.

    `tools` is the environment with uv. It is tried before it is marked whole: the distribution has
    the version, and the engine imports. A build that was cut has no mark and is made again from
    nothing; the environment that is live is another folder.
    """
    if complete_marker(directory) in state.files:
        host.noop(f"{directory} is whole")
        return
    environment = shlex.quote(directory)
    interpreter = f"{environment}/bin/python"
    uv = f"{shlex.quote(tools)}/bin/uv"
    yield from _upload_lock(directory, lock, lock_path)
    # Bytecode is compiled here, once: the service's user cannot write it, and each of the engine's
    # processes would compile thousands of files at every start (second start 47 s without, 31 s
    # with it: measured, CPU build on two cores).
    yield (
        f"rm -rf {environment} && "
        f"{uv} venv --quiet --no-project --python /usr/bin/python{python} {environment} && "
        f"{uv} pip install --quiet --no-deps --require-hashes --compile-bytecode "
        f"--python {interpreter} -r {shlex.quote(lock_path)}"
    )
    expected = shlex.quote(f"{distribution} {version}")
    yield (
        f"found=$({interpreter} -c 'import importlib.metadata as m, sys; "
        f"print(sys.argv[1], m.version(sys.argv[1]))' {shlex.quote(distribution)}) && "
        f'if [ "$found" != {expected} ]; then '
        f'echo "installed is $found; expected {distribution} {version}" >&2; exit 1; fi && '
        f"cd / && {interpreter} -c 'import vllm'"
    )
    yield f"touch {shlex.quote(complete_marker(directory))}"


def _upload_lock(directory: str, lock: Path, lock_path: str) -> Iterator[Command]:
    yield f"mkdir -p {shlex.quote(directory.rpartition('/')[0])}"
    yield FileUploadCommand(BytesIO(lock.read_bytes()), lock_path)
