"""Remember which files were hashed since this boot, and have not been touched since."""

import contextlib
import json
from pathlib import Path

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.places import Places

BOOT = Path("/proc/sys/kernel/random/boot_id")


def note_verified(places: Places, file: File, sha256: str) -> None:
    """Remember that a file of `.partial-COMMIT` was hashed, for the steps that follow."""
    state = (places.partial / file.path).stat()
    line = [file.path, state.st_size, state.st_mtime_ns, state.st_ino, sha256, boot_id()]
    with places.verified.open("a") as record:
        record.write(json.dumps(line) + "\n")


def noted(places: Places) -> dict[str, str]:
    """The SHA-256 of files that were verified since this boot and have not been touched since.

    What was verified before a crash may never have reached the disk: it is hashed again.
    """
    found: dict[str, str] = {}
    lines = places.verified.read_text().splitlines() if places.verified.exists() else []
    for line in lines:
        with contextlib.suppress(ValueError, OSError):  # cut in the middle of a line; gone
            path, size, changed, inode, sha256, boot = json.loads(line)
            state = (places.partial / path).stat()
            now = (state.st_size, state.st_mtime_ns, state.st_ino, boot_id())
            if now == (size, changed, inode, boot):
                found[path] = sha256
    return found


def boot_id() -> str:
    """What is different after every boot."""
    return BOOT.read_text().strip()


def accept(places: Places, file: File, arrived: Path, sha256: str) -> None:
    """Move a verified file to where peers may read it."""
    target = places.partial / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    arrived.chmod(0o644)
    arrived.rename(target)
    note_verified(places, file, sha256)
