"""The hub's access log: one line for each request, written out at once.

A line holds method, path, status, body bytes sent, range asked for (`-` for none) and client
address, separated by spaces. The path is as the client sent it, so it holds no space.
"""

import threading
from pathlib import Path


class AccessLog:
    """Appends lines to a file; safe to use from the server's threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(
        self, method: str, path: str, *, status: int, sent: int, asked: str | None, client: str
    ) -> None:
        """Write one request; `sent` counts the body's bytes that left."""
        span = (asked or "-").replace(" ", "")
        with self._lock:
            self._file.write(f"{method} {path} {status} {sent} {span} {client}\n")
