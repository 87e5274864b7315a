"""Make Python environments from a hashed lock, beside the live one, and mark them when whole."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyinfra import host, logger
from pyinfra import state as run
from pyinfra.api.command import StringCommand

from fortyninety.deadlines import ENVIRONMENT, REMOVAL, TOOLS
from fortyninety.operations.background import beginning, ended
from fortyninety.operations.brought import noting_new_caches
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.files import Upload, file_commands, linking
from fortyninety.operations.reasons import differs
from fortyninety.operations.removal import removal
from fortyninety.plan.python import PackageSource
from fortyninety.releases.release import Release
from fortyninety.survey import records
from fortyninety.survey.reading import HostReading

# The transient unit of an environment that is built while other things are done on the host.
BUILDING = "fortyninety-environment.scope"

# How an environment is found that is not what its mark says.
_FOUND = {
    "cut": "is missing, or was cut off midway",
    "other": "is not what it was when it was made, or its mark has no list of its files",
}


def _is_whole(reading: HostReading, which: str, directory: str) -> bool:
    """Whether an environment is as its mark says; what differs is said where it is not."""
    mark = reading.service.sealed.get(which, "cut")
    if mark == "whole":
        host.noop(f"{directory} is whole")
        return True
    differs(f"{directory} {_FOUND[mark]}")
    return False


@converging
def host_tools(
    reading: HostReading,
    directory: str,
    lock: Path,
    lock_path: str,
    *,
    seal: str,
    temporary: str,
    source: PackageSource,
) -> Iterator[Command]:
    """uv and an HTTP client, in an environment of the host's own python3, from a hashed lock.

    `lock` is the file here, `lock_path` where it goes on the host, `seal` the program there that
    marks it as whole, `temporary` a folder to execute from.
    """
    if _is_whole(reading, "tools", directory):
        return
    yield from _upload_lock(directory, lock, lock_path)
    quoted, sealing = shlex.quote(directory), f"python3 {shlex.quote(seal)}"
    yield within(
        TOOLS,
        f"{noting_new_caches()} || exit 1\n"
        f"[ ! -e {quoted} ] || {sealing} restore {quoted} || rm -rf {quoted}\n"
        f"[ -e {quoted} ] || {{ export TMPDIR={shlex.quote(temporary)}; "
        f"python3 -m venv {quoted} && "
        f"{quoted}/bin/pip {shlex.join(pip_install(source, lock_path))} && "
        f"{sealing} sizes {quoted} && {sealing} seal {quoted}; }}",
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
    reading: HostReading,
    path: str,
    *,
    directory: str,
    tools: str,
    seal: str,
    python: str,
    mirror: str | None,
) -> Iterator[Command]:
    """uv's own build of `python` (such as "3.11") in `directory`, and a link to it at `path`.

    Fetched from `mirror`, or from where uv of `tools` fetches its builds. uv checks their digests
    against its own list and renames them into place; it is tried, and `seal` (on the host) marks it
    as whole; the link comes last.
    """
    if path in reading.files and _is_whole(reading, "python", path):
        return
    if path not in reading.files:
        differs(f"{path} is missing")
    uv = f"{shlex.quote(tools)}/bin/uv"
    where = f"UV_PYTHON_INSTALL_DIR={shlex.quote(directory)} "
    source = f"UV_PYTHON_INSTALL_MIRROR={shlex.quote(mirror)} " if mirror else ""
    sealing = f"python3 {shlex.quote(seal)}"
    install = f"{where}{source}{uv} python install --quiet --managed-python --no-bin"
    modules = "ctypes, encodings, lzma, sqlite3, ssl, venv"
    yield within(
        TOOLS,
        f"""
{install} {python} || exit 1
found=$({where}{uv} python find --managed-python --no-project {python}) || exit 1
build=${{found%/bin/*}}
if [ -e "$build/.fortyninety-complete" ] && ! {sealing} restore "$build"; then
  rm "$build/.fortyninety-complete" && {install} --reinstall {python} || exit 1
fi
[ -e "$build/.fortyninety-complete" ] || {{
  "$found" -I -c 'import {modules}' && {sealing} seal "$build" || exit 1
}}
{linking(path, '"$found"')}
""",
    )


@dataclass(frozen=True)
class EngineBuild:
    """An engine's environment: `interpreter` and exactly what the lock of `release` says.

    `program` (on the host) makes it in `directory`, tries it and has `seal` mark it as whole; what
    is live is another folder. `trial` (on the host) imports what a start on a GPU imports, for a
    release that needs one. What is executed meanwhile is in `temporary`.
    """

    directory: str
    lock_path: str
    release: Release
    program: str
    seal: str
    trial: str
    uv: str
    temporary: str
    interpreter: str
    source: PackageSource

    @property
    def command(self) -> str:
        """What the host runs."""
        release, source = self.release, self.source
        options = [
            *("--uv", self.uv, "--python", self.interpreter),
            *("--lock", self.lock_path, "--directory", self.directory, "--seal", self.seal),
            *("--distribution", release.distribution, "--version", release.version),
            *("--module", "vllm"),
            *(word for name in release.left_out for word in ("--left-out", name)),
            *(("--trial", self.trial) if release.gpu_modules else ()),
            *(word for name in release.gpu_modules for word in ("--gpu-module", name)),
            *(["--index", source.index] if source.index else []),
            *(["--no-index"] if source.no_index else []),
            *(["--wheels", source.wheels] if source.wheels else []),
        ]
        temporary = f"TMPDIR={shlex.quote(self.temporary)}"
        return f"env {temporary} python3 {shlex.quote(self.program)} {shlex.join(options)}"

    def lock(self) -> Iterator[Command]:
        """Put the lock onto the host."""
        yield from _upload_lock(self.directory, self.release.lock_path, self.lock_path)


@converging
def engine_begun(
    reading: HostReading, build: EngineBuild, *, programs: Mapping[str, str | bytes]
) -> Iterator[Command]:
    """An engine's environment that is not whole, on its way; `engine` waits for it.

    The `programs` that make it (their texts by path) are put onto the host for that. In a transient
    unit, which outlives the connection and comes after what serves. What it says is in the journal;
    where it fails, `engine` tries again and says why. No difference of its own: a look at changes
    hears of the environment from `engine`.
    """
    if reading.service.sealed.get("engine") == "whole" or not run.is_executing:
        host.noop("no environment is to be built ahead")
        return
    for path, text in programs.items():
        yield from file_commands(reading, path, text, mode="755")
    yield from build.lock()
    yield beginning(
        BUILDING, build.command, seconds=ENVIRONMENT, identifier="fortyninety-environment"
    )


def building_ended() -> StringCommand:
    """A command that waits until no environment is being built by `engine_begun` any more."""
    return ended(BUILDING, ENVIRONMENT)


@converging
def engine(reading: HostReading, build: EngineBuild) -> Iterator[Command]:
    """The engine's environment, made, tried and marked as whole; waited for where it is on its way.

    No network is used where it is as its mark says.
    """
    if _is_whole(reading, "engine", build.directory):
        return
    yield from build.lock()
    yield within(ENVIRONMENT, build.command)


@converging
def altered_removed(reading: HostReading, served: str) -> Iterator[Command]:
    """No unit below `served`, the folder of those that served, that is not what it is named for.

    No rollback goes to one; it is said, because somebody changed it.
    """
    altered = reading.service.altered
    command = removal(served, altered, records.CONFIGURATION, ".service")
    if command is None:
        host.noop("every kept unit is as it served")
        return
    for each in altered:
        said = f"{served}/{each}.service was altered since it served"
        differs(f"{said}; expected it untouched, or gone")
        if run.is_executing:
            logger.warning(f"{host.print_prefix}{said} and is removed: no rollback goes to it")
    yield command


@converging
def pruned(reading: HostReading, live: str, *, kept: int) -> Iterator[Command]:
    """No environments but `live`, the `kept` latest others that served, and what is being made.

    What goes with them: their locks, and the units that need them, which nobody could roll back to.
    """
    engines, _, name = live.rpartition("/")
    surplus, units = too_many(reading, name, kept)
    served = f"{engines.rpartition('/')[0]}/served"
    # The units first: one without its environment must never look like something to go back to.
    commands = [
        removal(served, units, records.CONFIGURATION, ".service"),
        *(removal(engines, [each], records.ENVIRONMENT, "", ".lock") for each in surplus),
    ]
    needed = [command for command in commands if command is not None]
    if not needed:
        host.noop(f"{len(reading.service.environments)} environments, none too many")
        return
    differs(*(f"environment {each} is neither live nor kept" for each in surplus))
    differs(*(f"configuration {each} has no environment to go back to" for each in units))
    for command in needed:
        yield within(REMOVAL, command)


def too_many(reading: HostReading, live: str, kept: int) -> tuple[list[str], list[str]]:
    """The environments that are neither `live` nor among the `kept` latest others that served, and
    the configurations that served with one that is not kept."""
    others = list(
        dict.fromkeys(each.engine for each in reading.service.served if each.engine != live)
    )
    keep = {live, *others[:kept]}
    return (
        [name for name in reading.service.environments if name not in keep],
        [each.configuration for each in reading.service.served if each.engine not in keep],
    )


def _upload_lock(directory: str, lock: Path, lock_path: str) -> Iterator[Command]:
    yield f"mkdir -p {shlex.quote(directory.rpartition('/')[0])}"
    yield Upload(lock_path, lock.read_bytes())
