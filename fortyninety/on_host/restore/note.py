"""Note the unit that failed its gate, for the next deploy to say so."""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

# Characters of a cause that are kept.
LONGEST = 400


def note(path: Path, configuration: str, cause: str) -> None:
    """Write, by one rename, that this configuration failed now and why."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    text = json.dumps(
        {"configuration": configuration, "at": int(time.time()), "cause": cause[:LONGEST]}
    )
    descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.fortyninety-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise


def forget(path: Path, configuration: str) -> None:
    """Remove the note where it is about this configuration, which did not fail now."""
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict) and found.get("configuration") == configuration:
            path.unlink()
