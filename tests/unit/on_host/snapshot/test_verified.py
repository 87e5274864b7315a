"""What is remembered of files that were hashed side by side."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.folder import Folder
from fortyninety.on_host.snapshot.places import VERIFIED, opened
from fortyninety.on_host.snapshot.verified import note_verified, noted


def test_two_that_make_the_notes_at_once_lose_neither_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Semaphore(0)
    open_own, create = Folder.open_own, Folder.create

    def look(self: Folder, path: str) -> int | None:
        found = open_own(self, path)
        if path == VERIFIED:
            looked.release()
        return found

    def make(self: Folder, path: str, mode: int = 0o644) -> int:
        # Until the other has looked as well, if it may.
        for _ in range(2):
            looked.acquire(timeout=0.5)
        looked.release(2)
        return create(self, path, mode)

    monkeypatch.setattr(Folder, "open_own", look)
    monkeypatch.setattr(Folder, "create", make)
    digests = {f"{name}.safetensors": hashlib.sha256(name.encode()).hexdigest() for name in "ab"}
    files = [File(path, 1, digest, None) for path, digest in digests.items()]
    with opened(Folder.open(tmp_path), "a" * 40) as places:
        for file in files:
            (tmp_path / places.partial_name / file.path).write_bytes(file.path[:1].encode())
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda file: note_verified(places, file, digests[file.path]), files))
        assert noted(places, files) == digests
