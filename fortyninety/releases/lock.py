"""Compile an engine release's lock with uv for a recorded date, and seal it against edits.

The lock is a requirements file with the hash of every file, because that form alone carries no
index address: `uv.lock` and `pylock.toml` both write one down.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fortyninety.releases.release import ENGINES_DIRECTORY, load_release

_SEAL = re.compile(
    r"\A# Written by `fortyninety engine lock (?P<release>\S+)`.*\n"
    r"# Seal: (?P<digest>[0-9a-f]{64})\n"
)
# A pin of a release that has no local version, such as the +cpu of torch==2.13.0+cpu.
_PLAIN_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^+\s]+)(?=\s)", re.MULTILINE)

# The oldest C library that the locks are for: Ubuntu 22.04 has 2.35, Debian 12 has 2.36.
PLATFORM = "x86_64-manylinux_2_28"


class LockError(Exception):
    """Why there is no lock, in one line."""


def compile_lock(name: str, find_links: Sequence[str] = ()) -> str:
    """The text of the lock of the release `name`, as uv resolves its requirements.in for its date.

    `find_links` are folders with wheels that the package index does not carry (0.32.0-cpu needs
    PyTorch's CPU wheel). Which index is asked is this machine's own configuration. Raises LockError
    where there is no uv, or with what uv says.
    """
    release = load_release(name)
    directory = ENGINES_DIRECTORY / name
    overrides = directory / "overrides.txt"
    command = [
        _uv(),
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"),
        *("--no-emit-index-url", "--no-emit-find-links"),
        *("--python-version", release.python, "--python-platform", PLATFORM),
        # A bare date would end with the day of wherever this runs.
        *("--exclude-newer", f"{release.locked_on.isoformat()}T23:59:59Z"),
        *(("--override", overrides.name) if overrides.exists() else ()),
        *(word for folder in find_links for word in ("--find-links", str(Path(folder).resolve()))),
        "requirements.in",
    ]
    done = subprocess.run(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LockError(f"uv finds no lock for {name}: {done.stderr.strip()}")
    return sealed(name, exact(done.stdout))


def exact(requirements: str) -> str:
    """The same pins with `===` for `==`.

    `torch==2.13.0` also takes 2.13.0+cu130 or 2.13.0+cpu from a host's own index or folder, and the
    installation then ends at a hash that nobody asked for. `===` takes that very version alone.
    """
    return _PLAIN_PIN.sub(r"\1===\2", requirements)


def sealed(release: str, requirements: str) -> str:
    """The requirements under a header that carries their digest."""
    return (
        f"# Written by `fortyninety engine lock {release}`; change requirements.in, not this.\n"
        f"# Seal: {_digest(requirements)}\n"
        f"{requirements}"
    )


def seal_problem(release: str) -> tuple[str, str] | None:
    """What is found of a lock's seal and what is expected, or None where the two are the same."""
    text = (ENGINES_DIRECTORY / release / "requirements.txt").read_text()
    seal = _SEAL.match(text)
    if seal is None or seal["release"] != release:
        return "without the seal that `engine lock` writes", f"sealed for {release}"
    digest = _digest(text[seal.end() :])
    if digest != seal["digest"]:
        return f"edited: its lines have digest {digest[:12]}", f"{seal['digest'][:12]}, as sealed"
    return None


def _digest(requirements: str) -> str:
    return hashlib.sha256(requirements.encode()).hexdigest()


def _uv() -> str:
    """The uv beside this interpreter, which is the one that the locks are made with, or PATH's."""
    beside = Path(sys.executable).parent / "uv"
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise LockError("there is no uv: install requirements/development.txt, which pins it")
    return found
