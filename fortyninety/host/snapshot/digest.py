"""Hash files, and hold them to what they must be."""

import concurrent.futures
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.failures import WrongBytes

BUFFER = 1 << 20


def digest(path: Path, *, still_written: Callable[[], bool] = lambda: False) -> str:
    """The file's SHA-256. One that is `still_written` at its end is read as it grows."""
    sha256 = hashlib.sha256()
    buffer = memoryview(bytearray(BUFFER))
    with path.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while True:
            growing = still_written()
            if count := stream.readinto(buffer):
                sha256.update(buffer[:count])
            elif growing:
                time.sleep(0.02)
            else:
                return sha256.hexdigest()


def blob_name(path: Path) -> str:
    """The name that git gives the content, by which a hub names the files it does not hash."""
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    blob.update(content)
    return blob.hexdigest()


def refuse_wrong(path: Path, file: File, source: str, sha256: str | None = None) -> str:
    """The SHA-256 of a file that is right. Raises WrongBytes with what was expected and found."""
    size = path.stat().st_size if path.is_file() else None
    if size != file.size:
        found = "is missing" if size is None else f"has {size} bytes"
        raise WrongBytes(f"{file.path} from {source} {found}; expected {file.size} bytes")
    sha256 = sha256 or digest(path)
    if file.sha256 is not None:
        if sha256 != file.sha256:
            raise WrongBytes(
                f"{file.path} from {source} has SHA-256 {sha256}; expected {file.sha256}"
            )
    elif (found := blob_name(path)) != file.blob:
        raise WrongBytes(f"{file.path} from {source} has git name {found}; expected {file.blob}")
    return sha256


def in_parallel(function: Callable[[Any], Any], files: list[Any]) -> list[Any]:
    """Apply `function` to files, one a core at a time, the largest first: none is left to last.

    hashlib lets go of the interpreter's lock, so threads are as fast as processes. The results are
    in the order of `files`.
    """
    largest_first = sorted(files, key=lambda file: file.size, reverse=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = {id(file): pool.submit(function, file) for file in largest_first}
        return [done[id(file)].result() for file in files]
