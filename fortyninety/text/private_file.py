"""Read a file of this machine with a secret in it, where nobody but its owner may."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class ReadableByOthers(Exception):
    """That others may read the file, by its mode."""


def read_private(path: Path, most: int) -> bytes:
    """Read at most `most` bytes of a file. Raises OSError; ReadableByOthers where others can."""
    with path.open("rb") as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ReadableByOthers(f"others may read (mode {stat.S_IMODE(mode):o})")
        return stream.read(most)
