"""Write a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_file(path: Path, text: str) -> None:
    """Write a text in UTF-8 by one rename, with the mode of the file that it replaces.

    Where the path is a link, it is what that points to that is replaced. Raises OSError, with
    nothing changed and nothing left beside it.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    beside = target.with_name(f".fortyninety-{secrets.token_hex(8)}")
    # New, so that nothing of that name is written through; whose mode is the user's own (umask).
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            if mode is not None:
                os.fchmod(descriptor, mode)
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
