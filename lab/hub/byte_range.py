"""The part of a file that a `Range` header asks for."""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class UnsatisfiableRangeError(ValueError):
    """The range lies outside the file: the answer is 416."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` up to but not including `end` of a file of `size` bytes."""

    start: int
    end: int
    size: int
    whole: bool

    @property
    def length(self) -> int:
        """How many bytes the range holds."""
        return self.end - self.start

    @property
    def content_range(self) -> str:
        """The `Content-Range` header's value."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def parse_range(header: str | None, size: int) -> ByteRange:
    """Return the range that `header` asks for of a file of `size` bytes.

    No header, several ranges or a malformed header mean the whole file, as HTTP has it.
    Raises UnsatisfiableRangeError where the range starts at or behind the end.
    """
    match = _ONE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return ByteRange(0, size, size, whole=True)
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
    if start >= end:
        raise UnsatisfiableRangeError(f"{header} of a file of {size} bytes")
    return ByteRange(start, end, size, whole=False)
