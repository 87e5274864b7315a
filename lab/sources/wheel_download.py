"""Fetch one locked wheel with pip, from the first of several sources that has the right bytes."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.commands import succeeds
from lab.errors import LabError
from lab.progress import note, step

# A source that sends nothing for so long is given up. pip's own limits count for every address
# that a name has and for every attempt, which can add up to many minutes.
_SILENCE_SECONDS = 30.0
_REASON_LENGTH = 300


@dataclass(frozen=True)
class Pin:
    """A package at a version, and the SHA-256 of every file that its lock accepts for it."""

    name: str
    version: str
    hashes: frozenset[str]

    @property
    def requirement(self) -> str:
        """The pin as pip and people write it."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True)
class Source:
    """A place to ask: what people call it, and pip's environment and arguments for it.

    `places` are the addresses and folders behind a name that does not say them itself.
    """

    name: str
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name the source and what is behind it, for the message about all that failed."""
        return f"{self.name} ({', '.join(self.places)})" if self.places else self.name


class _NotFetched(Exception):
    """Why a source did not bring the wheel, in one line."""


def read_pin(lock: Path, name: str) -> Pin:
    """Read the pin of a package from a hashed requirements file; LabError where there is none."""
    found = re.search(
        rf"^{re.escape(name)}===?(?P<version>\S+) *\\\n(?P<hashes>(?: +--hash=sha256:.+\n?)+)",
        lock.read_text(),
        re.MULTILINE,
    )
    hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", found["hashes"]) if found else []
    if found is None or not hashes:
        raise LabError(f"{lock} pins no {name} with a SHA-256; restore the file from git")
    return Pin(name, found["version"], frozenset(hashes))


def ensure_wheel(
    pin: Pin, python: str, directory: Path, sources: Callable[[], Sequence[Source]], remedy: str
) -> None:
    """Make sure that `directory` holds the wheel of `pin` for the Python release `python`.

    Sources are looked up only when a wheel is needed, and asked in order. A wheel gets its name in
    the folder only after its SHA-256 was compared with the pin; one that is there with other bytes,
    cut off by a crash, is replaced.
    Raises LabError with the reason of every source and then `remedy` where none has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        # A second caller waits for the first one's download and then finds it done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        present = list(directory.glob(f"{pin.name}-{pin.version}-cp{python.replace('.', '')}-*"))
        if any(_sha256(wheel) in pin.hashes for wheel in present):
            return
        for wheel in present:
            note(f"{wheel} is not the file that the lock names, and is replaced")
            wheel.unlink()
        _fetch(pin, python, directory, sources(), remedy)


def _fetch(pin: Pin, python: str, directory: Path, sources: Sequence[Source], remedy: str) -> None:
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    reasons = []
    try:
        for source in sources:
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                with step(
                    f"fetching {pin.requirement} from {source.name}",
                    lambda: f"{_size(unfinished) / 1e6:.0f} MB",
                ):
                    wheel = _download(pin, python, source, unfinished)
            except _NotFetched as reason:
                reasons.append(f"  {source}: {reason}")
                note(reasons[-1])
                continue
            wheel.rename(directory / wheel.name)
            return
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    raise LabError(
        f"no source has the wheel of {pin.requirement} for Python {python} that the lock names:\n"
        + "\n".join(reasons)
        + f"\n{remedy}"
    )


def _download(pin: Pin, python: str, source: Source, unfinished: Path) -> Path:
    """Have pip fetch and verify the wheel into `unfinished`; raise _NotFetched with the reason."""
    temporary, destination = unfinished / "tmp", unfinished / "wheel"
    temporary.mkdir(parents=True)
    requirements, log = unfinished / "requirements.txt", unfinished / "pip.log"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted(pin.hashes))
    requirements.write_text(f"{pin.requirement} {hashes}\n")
    command = [
        *pip(),
        *("download", "--quiet", "--no-input", "--no-deps", "--only-binary=:all:"),
        # The wheel is kept by the lab; pip's cache would hold the same bytes again.
        "--no-cache-dir",
        f"--python-version={python}",
        f"--dest={destination}",
        *("--require-hashes", "-r", str(requirements)),
        *source.arguments,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # What pip downloads lies beside its destination, where it can be seen to grow.
            env={**source.environment, "TMPDIR": str(temporary)},
        )
        try:
            _wait(process, unfinished)
        finally:
            process.kill()
            process.wait()
    wheels = list(destination.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise _NotFetched(failure_reason(log.read_text(errors="replace"), process.returncode))
    return wheels[0]


def _wait(process: subprocess.Popen[bytes], unfinished: Path) -> None:
    """Wait until pip ends; raise _NotFetched when it waited too long and received nothing."""
    size, since = 0, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            return
        if (now := _size(unfinished)) != size or not _sleeps(process.pid):
            size, since = now, time.monotonic()
        if time.monotonic() - since > _SILENCE_SECONDS:
            raise _NotFetched(f"it sent nothing for {_SILENCE_SECONDS:.0f} s")


def _sleeps(process: int) -> bool:
    """Whether a process waits for something from outside, and not for this machine's cores."""
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "S"


def failure_reason(log: str, exit_code: int) -> str:
    """Say in one line why pip failed: the cause that it names before its own conclusion."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if "DO NOT MATCH THE HASHES" in log:
        got = re.search(r"Got\s+([0-9a-f]{64})", log)
        return (
            f"its file is not the one that the lock names (SHA-256 {got[1] if got else 'unknown'})"
        )
    broken = re.findall(r"connection broken by '(.+)': \S*$", log, re.MULTILINE)
    if broken:
        # "NewConnectionError('<... object at 0x7f...>: Failed to ...')": what follows the object.
        said = re.split(r"[>)](?:: |, ')", broken[-1])[-1].rstrip("'\")")
        said = re.sub(r" \((read|connect) timeout=[0-9.]+$", "", said)
        peer = " to the proxy" if "proxy" in broken[-1].lower() else ""
        return _bounded(f"no connection{peer}: {said}")
    versions = re.search(r"\(from versions: (.+)\)", log)
    if versions:
        return _bounded(f"it lists no such file (versions that it lists: {versions[1]})")
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    said = (errors or lines or ["nothing"])[-1]
    return _bounded(f"pip ended with {exit_code} and said: {said}")


def _bounded(reason: str) -> str:
    return reason if len(reason) <= _REASON_LENGTH else f"{reason[:_REASON_LENGTH]}..."


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _size(directory: Path) -> int:
    """The bytes of all files below a folder in which files come and go."""
    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            with suppress(FileNotFoundError):
                total += Path(folder, name).stat().st_size
    return total


@functools.cache
def pip() -> list[str]:
    """This interpreter's pip, or the one on PATH where an environment was made without."""
    own = [sys.executable, "-m", "pip"]
    return own if succeeds([*own, "--version"]) else ["pip3"]
