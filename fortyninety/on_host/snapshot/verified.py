"""Remember which files were hashed since this boot, and have not been touched since.

What was verified before a crash may never have reached the disk: it is hashed again.
"""

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.folder import is_ours
from fortyninety.on_host.snapshot.places import VERIFIED, Places

BOOT = Path("/proc/sys/kernel/random/boot_id")
# Bytes of notes that are read: those of ten thousand files are some MB.
MOST_NOTES = 64 * 10**6
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Files are hashed side by side, and the first that is done makes the notes.
_MAKING = threading.Lock()


def note_verified(places: Places, file: File, sha256: str) -> None:
    """Remember that a file of `partial` was hashed, for the steps that follow."""
    state = places.partial.state(file.path)
    assert state is not None
    line = json.dumps([file.path, *_as_it_is(state), sha256]) + "\n"
    with _MAKING:
        notes = places.incoming.open_own(VERIFIED)
        if notes is None:
            notes = places.incoming.create(VERIFIED)
        try:
            os.write(notes, line.encode())
        finally:
            os.close(notes)


def noted(places: Places, files: Iterable[File]) -> dict[str, str]:
    """The SHA-256 of those of the files that were verified since this boot, by their paths."""
    notes = places.incoming.open_own(VERIFIED)
    if notes is None:
        return {}
    with os.fdopen(notes, "rb") as record:
        lines = record.read(MOST_NOTES).split(b"\n")
    wanted = {file.path: file for file in files}
    found: dict[str, str] = {}
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # cut in a line
            path, size, changed, inode, boot, sha256 = json.loads(line)
            if path not in wanted or not _SHA256.fullmatch(sha256):
                continue
            file = wanted[path]
            state = places.partial.state(path)
            if state is None or not is_ours(state) or state.st_size != file.size:
                continue
            if _as_it_is(state) == [size, changed, inode, boot] and file.sha256 in (None, sha256):
                found[path] = sha256
    return found


def _as_it_is(state: os.stat_result) -> list[int | str]:
    """What changes when a file is written to, or the machine was started again."""
    return [state.st_size, state.st_mtime_ns, state.st_ino, BOOT.read_text().strip()]
