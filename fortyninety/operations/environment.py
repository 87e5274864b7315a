"""Python environments from a hashed lock, made beside the live one and marked when whole."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from pyinfra import host

from fortyninety.deadlines import ENVIRONMENT, REMOVAL, TOOLS
from fortyninety.engine_card import EngineCard
from fortyninety.facts import records
from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging, within
from fortyninety.operations.differences import differs
from fortyninety.operations.files import Upload, linking, placing
from fortyninety.operations.shell import removal
from fortyninety.plan import PackageSource, complete_marker


@converging
def host_tools(
    state: HostState, directory: str, lock: Path, lock_path: str, *, source: PackageSource
) -> Iterator[Command]:
    """uv and the hub's client, in an environment of the host's own python3, from a hashed lock.

    `lock` is the file here, `lock_path` where it goes on the host.
    """
    if complete_marker(directory) in state.files:
        host.noop(f"{directory} is whole")
        return
    differs(f"{directory} is missing, or was cut off midway")
    yield from _upload_lock(directory, lock, lock_path)
    yield within(
        TOOLS,
        f"rm -rf {shlex.quote(directory)} && python3 -m venv {shlex.quote(directory)} && "
        f"{shlex.quote(directory)}/bin/pip {shlex.join(pip_install(source, lock_path))}",
    )
    # To the disk before the mark that says so, and the mark itself.
    yield within(
        TOOLS, f"sync -f {shlex.quote(directory)} && {placing(complete_marker(directory), ':')}"
    )


def pip_install(source: PackageSource, lock_path: str) -> tuple[str, ...]:
    """What pip is asked for: exactly the lock, from wheels.

    A source distribution's own code would run as root, with build requirements that no lock has
    hashed.
    """
    return (
        *("install", "--quiet", "--disable-pip-version-check"),
        *(("--index-url", source.index) if source.index else ()),
        *(("--no-index",) if source.no_index else ()),
        *(("--find-links", source.wheels) if source.wheels else ()),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", lock_path),
    )


@converging
def interpreter(
    state: HostState, path: str, *, directory: str, tools: str, python: str, mirror: str | None
) -> Iterator[Command]:
    """uv's own build of `python` (such as "3.11") in `directory`, and a link to it at `path`.

    Fetched from `mirror`, or from where uv of `tools` fetches its builds. uv checks their digests
    against its own list and renames them into place; the link comes last.
    """
    if path in state.files:
        host.noop(f"{path} is there")
        return
    differs(f"{path} is missing")
    uv = f"{shlex.quote(tools)}/bin/uv"
    where = f"UV_PYTHON_INSTALL_DIR={shlex.quote(directory)} "
    source = f"UV_PYTHON_INSTALL_MIRROR={shlex.quote(mirror)} " if mirror else ""
    yield within(
        TOOLS,
        f"{where}{source}{uv} python install --quiet --managed-python --no-bin {python} && "
        f"found=$({where}{uv} python find --managed-python --no-project {python}) && "
        + linking(path, '"$found"'),
    )


@converging
def engine(
    state: HostState,
    directory: str,
    lock_path: str,
    card: EngineCard,
    *,
    program: str,
    trial: str,
    uv: str,
    interpreter: str,
    source: PackageSource,
) -> Iterator[Command]:
    """The engine's environment: `interpreter` and exactly what the lock of `card` says.

    `program` (on the host) makes it, tries it and marks it as whole; what is live is another
    folder. `trial` (on the host) imports what a start on a GPU imports, for a release that needs
    one. No network is used where the mark is there.
    """
    if complete_marker(directory) in state.files:
        host.noop(f"{directory} is whole")
        return
    differs(f"{directory} is missing, or was cut off midway")
    yield from _upload_lock(directory, card.lock_path, lock_path)
    options = [
        *("--uv", uv, "--python", interpreter, "--lock", lock_path, "--directory", directory),
        *("--distribution", card.distribution, "--version", card.version, "--module", "vllm"),
        *(word for name in card.left_out for word in ("--left-out", name)),
        *(("--trial", trial) if card.gpu_modules else ()),
        *(word for name in card.gpu_modules for word in ("--gpu-module", name)),
        *(["--index", source.index] if source.index else []),
        *(["--no-index"] if source.no_index else []),
        *(["--wheels", source.wheels] if source.wheels else []),
    ]
    yield within(ENVIRONMENT, f"python3 {shlex.quote(program)} {shlex.join(options)}")


@converging
def pruned(state: HostState, live: str, *, kept: int) -> Iterator[Command]:
    """No environments but `live`, the `kept` latest others that served, and what is being made.

    What goes with them: their locks, and the units that need them, which nobody could roll back to.
    """
    engines, _, name = live.rpartition("/")
    surplus, units = too_many(state, name, kept)
    served = f"{engines.rpartition('/')[0]}/served"
    # The units first: one without its environment must never look like something to go back to.
    commands = [
        removal(served, units, records.CONFIGURATION, ".service"),
        *(removal(engines, [each], records.ENVIRONMENT, "", ".lock") for each in surplus),
    ]
    needed = [command for command in commands if command is not None]
    if not needed:
        host.noop(f"{len(state.environments)} environments, none too many")
        return
    differs(*(f"environment {each} is neither live nor kept" for each in surplus))
    differs(*(f"configuration {each} has no environment to go back to" for each in units))
    for command in needed:
        yield within(REMOVAL, command)


def too_many(state: HostState, live: str, kept: int) -> tuple[list[str], list[str]]:
    """The environments that are neither `live` nor among the `kept` latest others that served, and
    the configurations that served with one that is not kept."""
    others = list(dict.fromkeys(each.engine for each in state.served if each.engine != live))
    keep = {live, *others[:kept]}
    return (
        [name for name in state.environments if name not in keep],
        [each.configuration for each in state.served if each.engine not in keep],
    )


def _upload_lock(directory: str, lock: Path, lock_path: str) -> Iterator[Command]:
    yield f"mkdir -p {shlex.quote(directory.rpartition('/')[0])}"
    yield Upload(lock_path, lock.read_bytes())
