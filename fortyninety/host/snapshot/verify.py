"""Read a published snapshot's manifest, and hash everything again."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import in_parallel, refuse_wrong
from fortyninety.host.snapshot.failures import Failure, WrongBytes
from fortyninety.host.snapshot.places import MANIFEST, names_below


def read_manifest(folder: Path) -> list[File]:
    """The files of a published snapshot. Raises Failure where there is no manifest to read."""
    if not (folder / MANIFEST).exists():
        raise Failure(f"no snapshot is published in {folder}")
    try:
        lines = (folder / MANIFEST).read_text().splitlines()
        split = [line.split("  ", 2) for line in lines]
        return [File(path, int(size), sha256, None) for sha256, size, path in split]
    except (OSError, ValueError) as error:
        raise Failure(f"{folder / MANIFEST} cannot be read: {error}") from error


def verify(folder: Path) -> dict[str, Any]:
    """Hash every file of a published snapshot again, and say what is not as its manifest has it.

    Changes nothing but the time of a manifest that is not kept to: then every file is newer, and
    the next deploy hashes them too and fetches what is wrong.
    """
    files = read_manifest(folder)
    began = time.monotonic()

    def check(file: File) -> str | None:
        path = folder / file.path
        try:
            refuse_wrong(path, file, "this disk")
        except WrongBytes as wrong:
            return str(wrong).replace(" from this disk", "")
        except OSError as error:  # A sector that cannot be read is a finding, not an end.
            return f"{file.path} cannot be read: {error.strerror}"
        return None

    wrong = [each for each in in_parallel(check, files) if each is not None]
    known = {file.path for file in files} | {MANIFEST}
    strays = sorted(name for name in names_below(folder) if name not in known)
    wrong += [f"{name} is in no manifest" for name in strays]
    seconds = time.monotonic() - began
    size = sum(file.size for file in files)
    if wrong:
        with contextlib.suppress(OSError):
            os.utime(folder / MANIFEST, (0, 0))
    return {"files": len(files), "bytes": size, "seconds": round(seconds, 3), "wrong": wrong}
