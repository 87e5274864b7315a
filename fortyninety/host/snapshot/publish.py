"""Give the verified files their name, all at once."""

import ctypes
import os
import shutil
from pathlib import Path
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import in_parallel, refuse_wrong
from fortyninety.host.snapshot.places import MANIFEST, Places
from fortyninety.host.snapshot.verified import noted


def publish(places: Places, files: list[File]) -> dict[str, Any]:
    """Give the folder with every file its name, at once; what had it before is removed.

    Raises WrongBytes where a file is missing or was touched since it was hashed.
    """
    known = noted(places)

    def check(file: File) -> str:
        if file.path in known and (file.sha256 in (None, known[file.path])):
            return known[file.path]
        return refuse_wrong(places.partial / file.path, file, "this host")

    digests = in_parallel(check, files)
    lines = sorted(
        (file.path, f"{sha256}  {file.size}  {file.path}\n")
        for file, sha256 in zip(files, digests, strict=True)
    )
    manifest = places.partial / MANIFEST
    manifest.write_text("".join(line for _, line in lines))
    for path in [places.partial, *places.partial.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    synchronise(places.partial)
    # The last of all to change: a file that is newer was written to after it was published.
    os.utime(manifest)
    if places.published.exists():
        exchange(places.partial, places.published)
        shutil.rmtree(places.partial)
    else:
        places.partial.rename(places.published)
    synchronise(places.model, deep=False)
    shutil.rmtree(places.incoming)
    places.lock.unlink(missing_ok=True)
    return {"bytes": sum(file.size for file in files)}


def synchronise(folder: Path, *, deep: bool = True) -> None:
    """Make what is in the folder survive a power cut before its name says that it is whole."""
    for path in [*(folder.rglob("*") if deep else ()), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def exchange(one: Path, other: Path) -> None:
    """Swap two folders' names at once, so that a reader finds a whole one at every moment."""
    library = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, renameat2(2)
    if library.renameat2(here, bytes(one), here, bytes(other), swap) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
