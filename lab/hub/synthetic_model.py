"""A repository of random bytes that looks like a large checkpoint: shards, and some small files."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

REPOSITORY = "fortyninety-lab/synthetic"
_CHUNK = 1 << 20


def make(root: Path, *, size: int, shards: int, seed: int = 0) -> None:
    """Write the repository below a hub's `root`: `size` bytes in `shards` equal shards.

    The bytes depend on nothing but the arguments. They cannot be compressed, as weights cannot.
    """
    folder = root / REPOSITORY
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0"}) + "\n")
    source = random.Random(seed)
    for number in range(1, shards + 1):
        left = size // shards
        with (folder / f"model-{number:05d}-of-{shards:05d}.safetensors").open("wb") as shard:
            while left:
                left -= shard.write(source.randbytes(min(_CHUNK, left)))
