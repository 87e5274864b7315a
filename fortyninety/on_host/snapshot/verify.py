"""Hash a published snapshot again."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.digest import check_file, in_parallel
from fortyninety.on_host.snapshot.failures import Failure, WrongBytes, one_line
from fortyninety.on_host.snapshot.folder import Folder
from fortyninety.on_host.snapshot.manifest import read_manifest
from fortyninety.on_host.snapshot.places import MANIFEST

# Files in no manifest that are named; of more their number is told.
MOST_STRAYS = 20


def verify(path: Path) -> dict[str, Any]:
    """Hash every file of a published snapshot again, and say what is not as its manifest has it.

    Changes nothing but the time of a manifest that is not kept to: then every file is newer, and
    the next deploy hashes them too and fetches what is wrong. Raises Failure.
    """
    try:
        published = Folder.open(path)
    except Failure as failure:
        raise Failure(f"no snapshot is published in {path}") from failure
    with published:
        return _verify(published)


def _verify(published: Folder) -> dict[str, Any]:
    files = read_manifest(published)
    began = time.monotonic()

    def check(file: File) -> str | None:
        try:
            descriptor = published.open_file(file.path)
        except (FileNotFoundError, NotADirectoryError):
            return f"{file.path} is missing; expected {file.size} bytes"
        except OSError as error:
            return f"{file.path} cannot be opened as a file: {one_line(str(error))}"
        try:
            check_file(descriptor, file, "this disk")
        except WrongBytes as wrong:
            return str(wrong).replace(" from this disk", "")
        except OSError as error:  # A sector that cannot be read is a finding, not an end.
            return f"{file.path} cannot be read: {error.strerror}"
        finally:
            os.close(descriptor)
        return None

    wrong = [each for each in in_parallel(check, list(files)) if each is not None]
    known = {file.path for file in files} | {MANIFEST}
    strays = sorted(name for name, _ in published.files() if name not in known)
    wrong += [f"{one_line(name)} is in no manifest" for name in strays[:MOST_STRAYS]]
    if len(strays) > MOST_STRAYS:
        wrong.append(f"and {len(strays) - MOST_STRAYS} more files are in no manifest")
    seconds = time.monotonic() - began
    size = sum(file.size for file in files)
    if wrong:
        with contextlib.suppress(OSError):
            manifest = published.open_file(MANIFEST)
            os.utime(manifest, (0, 0))
            os.close(manifest)
    return {"files": len(files), "bytes": size, "seconds": round(seconds, 3), "wrong": wrong}
