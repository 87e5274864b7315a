"""Keep hosts as layers, ready to start further hosts from."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.commands import run
from lab.errors import LabError
from lab.hosts.image import images_directory
from lab.tiny_model import AWQ


@dataclass(frozen=True)
class SavedHost:
    """A layer and what it stands on: older layers, newest first, and an image."""

    name: str
    image: str
    saved: tuple[str, ...]
    model: str


def save(
    name: str, upper: Path, image: str, below: tuple[str, ...], model: str, *, move: bool = False
) -> None:
    """Copy a stopped host's own layer under NAME, or MOVE it there, which takes no time."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise LabError(f"name {name!r}: use lower-case letters, digits, dots and dashes")
    directory = _directory() / name
    if directory.exists():
        raise LabError(f"there is a saved host {name!r} already: remove {directory} to replace it")
    unfinished = _directory() / f".unfinished-{name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    description = {"image": image, "saved": list(below), "model": model}
    (unfinished / "saved.json").write_text(json.dumps(description, indent=2) + "\n")
    # An overlay keeps deletions as device nodes and replaced folders as extended attributes.
    take = ["mv"] if move else ["cp", "--archive", "--reflink=auto"]
    run([*take, str(upper), str(unfinished / "layer")])
    unfinished.rename(directory)


def read(name: str) -> SavedHost:
    """The saved host NAME; LabError when there is none or what it stands on is gone."""
    saved = _described(name)
    below = [*map(layer, saved.saved), images_directory() / saved.image]
    if gone := [str(each) for each in below if not each.is_dir()]:
        raise LabError(
            f"saved host {name!r} stands on {' and '.join(gone)}, which is not there: remove "
            f"{_directory() / name} and save the host again"
        )
    return saved


def _described(name: str) -> SavedHost:
    try:
        values = json.loads((_directory() / name / "saved.json").read_text())
    except FileNotFoundError:
        known = ", ".join(saved.name for saved in everything()) or "none"
        raise LabError(f"there is no saved host {name!r}; saved: {known}") from None
    # One that was saved before there was a choice has the model that was the only one.
    model = values.get("model", AWQ.name)
    return SavedHost(name, image=values["image"], saved=tuple(values["saved"]), model=model)


def everything() -> list[SavedHost]:
    """Every saved host, also one that cannot be started from any more."""
    files = sorted(_directory().glob("[!.]*/saved.json"))
    return [_described(file.parent.name) for file in files]


def remove(name: str) -> None:
    """Remove the saved host NAME; hosts and saved hosts that stand on it must be gone."""
    standing = [saved.name for saved in everything() if name in saved.saved]
    if standing:
        raise LabError(f"saved hosts stand on {name!r}: {', '.join(standing)}; remove them first")
    shutil.rmtree(_directory() / _described(name).name)


def layer(name: str) -> Path:
    """The layer of a saved host, for the lower side of an overlay."""
    return _directory() / name / "layer"


def images_in_use() -> set[str]:
    """The images that saved hosts stand on."""
    return {saved.image for saved in everything()}


def _directory() -> Path:
    return paths.cache_directory() / "saved"
