"""Hash what files have in them, and hold it to what they must have."""

import concurrent.futures
import hashlib
import os
from collections.abc import Callable
from typing import Any

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.failures import WrongBytes

BUFFER = 1 << 20


class Content:
    """The content of a file as it comes, a piece at a time: its size and its digests so far."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.size = 0
        self._sha256 = hashlib.sha256()
        # The name that git gives the content, by which a hub names the files it does not hash.
        self._blob = None
        if file.sha256 is None:
            self._blob = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.size += len(piece)
        self._sha256.update(piece)
        if self._blob is not None:
            self._blob.update(piece)

    def check(self, source: str) -> str:
        """Return the SHA-256 where all of it is right. Raises WrongBytes: expected and found."""
        file = self.file
        if self.size != file.size:
            raise WrongBytes(
                f"{file.path} from {source} has {self.size} bytes; expected {file.size} bytes"
            )
        sha256 = self._sha256.hexdigest()
        if file.sha256 is not None:
            if sha256 != file.sha256:
                raise WrongBytes(
                    f"{file.path} from {source} has SHA-256 {sha256}; expected {file.sha256}"
                )
        elif self._blob is not None and self._blob.hexdigest() != file.blob:
            found = self._blob.hexdigest()
            raise WrongBytes(
                f"{file.path} from {source} has git name {found}; expected {file.blob}"
            )
        return sha256


def check_file(descriptor: int, file: File, source: str) -> str:
    """Return the SHA-256 of an open file that is right. Raises WrongBytes, and OSError."""
    content = Content(file)
    size = os.fstat(descriptor).st_size
    if size != file.size:
        content.size = size
        content.check(source)
    read_into(content, descriptor)
    return content.check(source)


def read_into(content: Content, descriptor: int) -> None:
    """Read an open file from its beginning, as many bytes as the file must have."""
    buffer = memoryview(bytearray(BUFFER))
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    while content.size < content.file.size:
        count = os.preadv(descriptor, [buffer], content.size)
        if not count:
            return
        content.update(buffer[: min(count, content.file.size - content.size)])


def in_parallel(function: Callable[[Any], Any], files: list[Any]) -> list[Any]:
    """Apply `function` to files, one a core at a time, the largest first: none is left to last.

    hashlib lets go of the interpreter's lock, so threads are as fast as processes. The results are
    in the order of `files`.
    """
    largest_first = sorted(files, key=lambda file: file.size, reverse=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = {id(file): pool.submit(function, file) for file in largest_first}
        return [done[id(file)].result() for file in files]
