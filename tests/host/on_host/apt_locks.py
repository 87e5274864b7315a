"""Who holds a lock of apt or dpkg, for longer than a moment."""

import fcntl
import json
import os
import struct
import time

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
MOMENT = 3.0


def holder(path: str) -> int | None:
    """The process that holds the lock as apt takes it, or None. Takes no lock itself."""
    try:
        with open(path) as file:
            # struct flock: type, whence, start, length, process.
            asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return None
    return None if kind == fcntl.F_UNLCK else pid


def main() -> None:
    deadline = time.monotonic() + MOMENT
    while held := {path: pid for path in LOCKS if (pid := holder(path)) is not None}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    said = []
    for path, pid in held.items():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().decode(errors="replace").replace("\0", " ").strip()
        except OSError:
            command = "a process of elsewhere"
        said.append(f"process {pid} ({command[:80]}) holds {path}")
    print(json.dumps(said))


main()
