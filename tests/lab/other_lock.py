"""A copy of this project in which an operator locked other packages for the lab's engine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from fortyninety.checkout import ROOT
from fortyninety.releases.lock import sealed
from fortyninety.releases.release import load_release

ENGINE = "0.32.0-cpu"


def project_copy(folder: Path) -> Path:
    """A copy of this project below a folder: deploys run from it as from the original."""
    copy = folder / "project"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "__pycache__"))
    return copy


def lock_of(project: Path) -> Path:
    return project / "engines" / ENGINE / "requirements.txt"


def pins(lock: Path) -> str:
    """A lock's requirements without its header."""
    return "".join(
        line for line in lock.read_text().splitlines(keepends=True) if not line.startswith("#")
    )


def entry(requirements: str, package: str) -> str:
    """A package's pin and hashes."""
    (found,) = re.findall(rf"^{package}==.*\n(?:    .*\n)*", requirements, re.MULTILINE)
    return str(found)


def other_lock(project: Path) -> None:
    """A second lock of the same release: another version of one package, with that one's hashes."""
    requirements = pins(lock_of(project))
    other = entry(pins(load_release("0.8.5.post1").lock_path), "certifi")
    assert other != entry(requirements, "certifi")
    lock_of(project).write_text(
        sealed(ENGINE, requirements.replace(entry(requirements, "certifi"), other))
    )
