"""Serve a tiny model with as many bytes more as a test of the wire needs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.hub.pinned import pinned_commit
from lab.network import links
from lab.tiny_model import TinyModel
from lab.tiny_model.repository import write_repository

_CHUNK = 1 << 20


@contextmanager
def larger_model(model: TinyModel, more: int, megabits: int) -> Iterator[Path]:
    """An inventory of the lab's hosts with the model, larger by `more` bytes that no engine reads.

    Its hub is behind a cable of so many Mbit/s, and has bytes and a commit of its own each time.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "hub"
        folder = write_repository(root, model)
        with (folder / "more.bin").open("wb") as file:
            while more > 0:
                more -= file.write(os.urandom(min(_CHUNK, more)))
        with links.hub_behind_a_link(root, Path(temporary) / "access.log", megabits) as endpoint:
            data = {
                "model_revision": pinned_commit(root, model.repository),
                "hub_endpoint": endpoint,
            }
            # The group's name, which is the file's, as in inventory/lab.py.
            inventory = Path(temporary) / "lab.py"
            inventory.write_text(
                "from lab.inventory import inventory\n"
                f"lab = [(name, {{**data, **{data!r}}}) for name, data in inventory()]\n"
            )
            yield inventory
