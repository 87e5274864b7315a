"""Where things of one commit are on this host."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MANIFEST = ".fortyninety-manifest"


@dataclass(frozen=True)
class Places:
    """Where things of one commit are below the model's folder."""

    model: Path
    revision: str

    @property
    def published(self) -> Path:
        return self.model / self.revision

    @property
    def partial(self) -> Path:
        return self.model / f".partial-{self.revision}"

    @property
    def incoming(self) -> Path:
        return self.model / f".incoming-{self.revision}"

    @property
    def verified(self) -> Path:
        return self.incoming / "verified"

    @property
    def lock(self) -> Path:
        return self.model / f".lock-{self.revision}"


def names_below(folder: Path) -> Iterator[str]:
    """The paths of all files below a folder, relative to it."""
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def make_folders(places: Places) -> None:
    """The folders that every step but `verify` works in, readable for a serving daemon."""
    os.umask(0o022)
    for folder in (places.partial, places.incoming):
        folder.mkdir(parents=True, exist_ok=True)
