"""Make secrets on the host, where they stay: nobody else has them, the controller neither."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pyinfra import host

from fortyninety.operations.converge import Command, converging
from fortyninety.operations.files import placing
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import FileState, HostReading

# Root's own, and 256 bits as 64 hexadecimal digits.
ACCESS = ("600", "root", "root")
MAKE = "python3 -c 'import secrets; print(secrets.token_hex(32))'"
EMPTY = hashlib.sha256(b"").hexdigest()


@converging
def made_once(reading: HostReading, path: str) -> Iterator[Command]:
    """A secret at `path`, which must be surveyed, that root alone reads and that is never shown.

    One that others could read is no secret any more, and another is made. What runs has the one
    that it was started with.
    """
    wrong = _wrong(path, reading.files.get(path))
    if wrong is None:
        host.noop(f"{path} is there, for root alone")
        return
    differs(wrong)
    yield placing(path, MAKE, mode=ACCESS[0], owner=ACCESS[1], group=ACCESS[2])


def _wrong(path: str, now: FileState | None) -> str | None:
    if now is None:
        return f"{path} is missing"
    if not now.kind.startswith("regular"):
        return f"{path} is a {now.kind}; expected a regular file"
    if now.sha256 == EMPTY:
        return f"{path} is empty"
    if (found := (now.mode, now.owner, now.group)) != ACCESS:
        return f"{path} is {' '.join(found)}; expected {' '.join(ACCESS)}"
    return None
