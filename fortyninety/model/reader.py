"""Read what a checkpoint weighs, from a folder or from this project's own record.

The only file of the package with input and output. No weight is ever read: of a shard, the header.
What a header and an index may say is bounded here, wherever they come from.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fortyninety.checkout import CHECKPOINTS
from fortyninety.fit.architecture import Architecture, read_architecture
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.weights import Weights, computed_weights, read_weights
from fortyninety.on_host.checkpoint_files import MOST_BYTES, FileListError, parse_path

# In bytes. The longest of a checkpoint that is known: DeepSeek-V3, whose index has 8.9 MB for
# 91,000 tensors, which its 163 shards' headers name in 12 MB together. JSON takes up to 25 times as
# much memory as text.
LONGEST_CONFIG = 2 * 2**20
LONGEST_INDEX = 16 * 2**20
LONGEST_HEADER = 8 * 2**20
LONGEST_HEADERS = 32 * 2**20
MOST_SHARDS = 2_000
MOST_TENSORS = 400_000
LONGEST_TENSOR_NAME = 512

# The total in an index may leave out what no layer is made of; more is another checkpoint.
INDEX_TOLERANCE = 0.001

ReadRange = Callable[[str, int, int], bytes]


def known_weights(repository: str, revision: str | None = None) -> Weights | None:
    """The checkpoint as recorded in `checkpoints/`; None where it or its revision is not."""
    path = CHECKPOINTS / f"{repository.replace('/', '--')}.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    if revision is not None and record["revision"] not in (None, revision):
        return None
    architecture = read_architecture(record["config"])
    weights = computed_weights(architecture)
    return Weights(architecture, weights.tensors, "as recorded in checkpoints/")


def known_repositories() -> list[str]:
    """Every repository with a record in `checkpoints/`."""
    return sorted(
        json.loads(path.read_text())["repository"]
        for path in CHECKPOINTS.glob("*.json")
        if not path.name.endswith(".files.json")
    )


def folder_weights(folder: Path) -> Weights:
    """The checkpoint in a folder: its shards' headers, or its config.json alone.

    Raises CheckpointError where config.json is missing or wrong, or an index names shards that are
    not there.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(f"{folder} has no config.json; expected a checkpoint's folder")
    architecture = read_architecture(parse_object(_bytes(config, LONGEST_CONFIG), str(config)))
    index = folder / "model.safetensors.index.json"
    present = sorted(path.name for path in folder.glob("*.safetensors"))
    if index.is_file():
        listed = parse_object(_bytes(index, LONGEST_INDEX), str(index))
        shards = index_shards(listed, str(index))
        missing = [shard for shard in shards if shard not in present]
        if missing and present:
            raise CheckpointError(
                f"{folder}: {missing[0]} is missing ({len(missing)} of {len(shards)} shards); "
                "fetch the rest, or keep config.json alone"
            )
        if missing:
            return _of_index(architecture, listed, str(index))
    elif len(present) > 1 or (present and present != ["model.safetensors"]):
        raise CheckpointError(
            f"{folder} has shards ({present[0]}, ...) and no model.safetensors.index.json; "
            "fetch the index, or keep config.json alone"
        )
    else:
        shards = present
    if not shards:
        return computed_weights(architecture)

    def read(name: str, start: int, length: int) -> bytes:
        with (folder / name).open("rb") as file:
            file.seek(start)
            return file.read(length)

    return read_weights(architecture, shard_tensors(shards, read))


def shard_tensors(shards: list[str], read: ReadRange) -> Iterator[tuple[str, int]]:
    """Yield the name and the bytes of each tensor, from the JSON that begins a safetensors file.

    `read` takes a shard, where to begin and how many bytes. Raises CheckpointError.
    """
    left, count = LONGEST_HEADERS, 0
    for shard in shards:
        start = read(shard, 0, 8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= LONGEST_HEADER:
            raise CheckpointError(
                f"{shard} does not begin with a safetensors header of at most {LONGEST_HEADER} "
                "bytes"
            )
        if (left := left - length) < 0:
            raise CheckpointError(f"the shards' headers have more than {LONGEST_HEADERS} bytes")
        header = parse_object(read(shard, 8, length), shard)
        if (count := count + len(header)) > MOST_TENSORS:
            raise CheckpointError(f"the shards have more than {MOST_TENSORS} tensors")
        for name, tensor in header.items():
            if name != "__metadata__":
                yield _tensor(shard, name, tensor)


def _tensor(shard: str, name: str, tensor: object) -> tuple[str, int]:
    if len(name) > LONGEST_TENSOR_NAME or not name.isascii() or not name.isprintable():
        raise CheckpointError(f"{shard} has a tensor named {name[:60]!a}")
    offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    if isinstance(offsets, list) and [type(each) for each in offsets] == [int, int]:
        first, last = offsets
        if 0 <= first <= last <= MOST_BYTES:
            return name, last - first
    raise CheckpointError(f"{shard} has no data_offsets for {name} that could be; expected two")


def index_shards(index: dict[str, Any], name: str) -> list[str]:
    """Return the shards that an index names, each a path below its folder.

    Raises CheckpointError.
    """
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{name} has no weight_map; expected the index of sharded weights")
    if len(weight_map) > MOST_TENSORS:
        raise CheckpointError(f"{name} has more than {MOST_TENSORS} tensors")
    if not all(isinstance(shard, str) for shard in weight_map.values()):
        raise CheckpointError(f"the weight_map of {name} has what is no file's name")
    shards = sorted(set(weight_map.values()))
    if len(shards) > MOST_SHARDS:
        raise CheckpointError(f"{name} has more than {MOST_SHARDS} shards")
    try:
        return [parse_path(shard) for shard in shards]
    except FileListError as error:
        raise CheckpointError(f"the weight_map of {name}: {error}") from error


def _of_index(architecture: Architecture, index: dict[str, Any], name: str) -> Weights:
    """Computed from config.json, and held against the total that the index has."""
    weights = computed_weights(architecture)
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(total, int) and not 0 <= total <= MOST_BYTES:
        raise CheckpointError(f"{name} has a total_size that cannot be")
    if isinstance(total, int) and abs(total - weights.total) > INDEX_TOLERANCE * total:
        raise CheckpointError(
            f"{name} says {total} bytes and config.json comes to {weights.total}; expected the two "
            "to agree. Fetch the shards' headers with the repository's name"
        )
    return Weights(architecture, weights.tensors, "computed from config.json, as the index says")


def parse_object(content: bytes, name: str) -> dict[str, Any]:
    """Return the object that JSON says. Raises CheckpointError, also for JSON that is a trap."""
    try:
        parsed = json.loads(content)
    except RecursionError as error:
        raise CheckpointError(f"{name} is no JSON that can be read: too deep") from error
    except ValueError as error:
        raise CheckpointError(f"{name} is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{name} is no JSON object")
    return parsed


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise CheckpointError(f"{path} has more than {most} bytes")
    return content
