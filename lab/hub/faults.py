"""Make a hub misbehave: refusals, answers that fail, and wrong contents."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path


@dataclass(frozen=True)
class Flip:
    """One byte of one answer that is sent wrong, by its position in the file."""

    position: int


Failure = HTTPStatus | int | Flip
"""How one request for a file's content fails: a status, the bytes after which it is cut, a flip."""


@dataclass
class Faults:
    """How a hub misbehaves, changed while it serves. Paths are those of files in a repository.

    `token` is what it wants to see before it says anything; where it is `gated`, contents are for
    accounts that accepted the licence, and none did. `flipped` names, for a file, the byte that is
    always sent wrong, and `truncated` the bytes that are left of it.
    `rate_limited` answers every request with 429. `listed` names, for a file, the SHA-256 that the
    list gives in place of the right one; `git` is whether it speaks git, `filters` whether git
    takes a filter there, and `git_pack` a file with the pack that git sends in place of the right
    one.
    """

    token: str | None = None
    gated: bool = False
    rate_limited: bool = False
    flipped: dict[str, int] = field(default_factory=dict)
    truncated: dict[str, int] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    git: bool = True
    filters: bool = True
    git_pack: Path | None = None
    _failures: dict[str, list[Failure]] = field(default_factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, path: str, *failures: Failure) -> None:
        """Let the next requests for the content of `path` fail, one after the other."""
        with self._lock:
            self._failures[path] += failures

    def next_failure(self, path: str) -> Failure | None:
        """The failure that the request for the content of `path` at hand gets, or None."""
        with self._lock:
            return self._failures[path].pop(0) if self._failures[path] else None

    def size_of(self, path: str, size: int) -> int:
        """How many bytes of a file of `size` bytes there are to be had."""
        return min(size, self.truncated.get(path, size))


def with_flip(chunk: bytes, position: int | None, start: int) -> bytes:
    """The bytes of a file that begin at `start`, with the one at `position` of the file wrong."""
    offset = -1 if position is None else position - start
    if not 0 <= offset < len(chunk):
        return chunk
    wrong = bytearray(chunk)
    wrong[offset] ^= 1
    return bytes(wrong)
