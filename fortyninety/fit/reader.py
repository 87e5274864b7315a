"""Reads what a checkpoint weighs: from a folder, a hub, or this project's own record of it.

The only file of the package with input and output. No weight is ever read: of a shard, the header.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fortyninety.fit.architecture import Architecture, read_architecture
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.weights import Weights, computed_weights, read_weights

if TYPE_CHECKING:
    import requests

CHECKPOINTS_DIRECTORY = Path(__file__).resolve().parent.parent.parent / "checkpoints"
PUBLIC_HUB = "https://huggingface.co"

# A header is at most this long. Source: MAX_HEADER_SIZE of the safetensors library.
LONGEST_HEADER = 100_000_000

# The total in an index may leave out what no layer is made of; more is another checkpoint.
INDEX_TOLERANCE = 0.001

_TIMEOUT = (5, 30)

ReadRange = Callable[[str, int, int], bytes]


def known_weights(repository: str, revision: str | None = None) -> Weights | None:
    """The checkpoint as recorded in `checkpoints/`; None where it or its revision is not."""
    path = CHECKPOINTS_DIRECTORY / f"{repository.replace('/', '--')}.json"
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
        json.loads(path.read_text())["repository"] for path in CHECKPOINTS_DIRECTORY.glob("*.json")
    )


def folder_weights(folder: Path) -> Weights:
    """The checkpoint in a folder: its shards' headers, or its config.json alone.

    Raises CheckpointError where config.json is missing or wrong, or an index names shards that are
    not there.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise CheckpointError(f"{folder} has no config.json; expected a checkpoint's folder")
    architecture = read_architecture(_json(config.read_bytes(), str(config)))
    index = folder / "model.safetensors.index.json"
    present = sorted(path.name for path in folder.glob("*.safetensors"))
    if index.is_file():
        listed = _json(index.read_bytes(), str(index))
        shards = _index_shards(listed, str(index))
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

    return read_weights(architecture, _headers(shards, read))


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint on a hub, as read: its config.json, and every tensor's name and bytes."""

    config: dict[str, Any]
    tensors: tuple[tuple[str, int], ...]

    @property
    def weights(self) -> Weights:
        """The tensors and where they belong. Raises CheckpointError."""
        return read_weights(read_architecture(self.config), self.tensors)


def hub_checkpoint(
    repository: str, revision: str = "main", *, endpoint: str | None = None
) -> HubCheckpoint:
    """Read a checkpoint on a hub: config.json, the index, and the first bytes of each shard.

    `endpoint` is the hub's address, HF_ENDPOINT's or the public one. Raises CheckpointError where
    it does not answer, has no such repository, or an index names a shard that it has not.
    """
    # Here, and not above: pyinfra, which may be imported later, must change TLS before it is used.
    import requests  # noqa: PLC0415

    base = (endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")
    root = f"{base}/{repository}/resolve/{revision}"
    with requests.Session() as session:
        config = _get(session, f"{root}/config.json")
        if config is None:
            raise CheckpointError(
                f"{repository} at {revision} has no config.json on {base}; check the name, the "
                "revision, and whether it wants a token"
            )
        parsed = _json(config, f"{repository}/config.json")
        # Refused by its config, a checkpoint's shards are not even begun.
        read_architecture(parsed)
        index = _get(session, f"{root}/model.safetensors.index.json")
        if index is None:
            shards = ["model.safetensors"]
        else:
            name = f"{repository}'s index"
            shards = _index_shards(_json(index, name), name)

        def read(name: str, start: int, length: int) -> bytes:
            headers = {"Range": f"bytes={start}-{start + length - 1}"}
            content = _get(session, f"{root}/{name}", headers=headers, length=length)
            if content is None:
                lacks = "and no index" if index is None else "which its index names"
                raise CheckpointError(
                    f"{repository} at {revision} has no {name} on {base}, {lacks}"
                )
            return content

        return HubCheckpoint(parsed, tuple(_headers(shards, read)))


def _get(
    session: requests.Session,
    address: str,
    *,
    headers: dict[str, str] | None = None,
    length: int | None = None,
) -> bytes | None:
    """The content, at most `length` bytes of it; None where there is none."""
    import requests  # noqa: PLC0415

    token = os.environ.get("HF_TOKEN")
    asked = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        with session.get(address, headers=asked, timeout=_TIMEOUT, stream=True) as response:
            if response.status_code in (401, 403, 404):
                return None
            response.raise_for_status()
            if length is None:
                return response.content
            # A server that ignores the range sends the whole shard: no more of it than asked.
            return response.raw.read(length, decode_content=True)
    except requests.RequestException as error:
        raise CheckpointError(
            f"{address} does not answer ({type(error).__name__}); give a folder with its "
            "config.json in place of the repository's name"
        ) from error


def _headers(shards: list[str], read: ReadRange) -> Iterator[tuple[str, int]]:
    """The name and the bytes of each tensor, from the JSON that begins a safetensors file."""
    for shard in shards:
        start = read(shard, 0, 8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= LONGEST_HEADER:
            raise CheckpointError(f"{shard} does not begin with a safetensors header")
        header = _json(read(shard, 8, length), shard)
        for name, tensor in header.items():
            if name != "__metadata__":
                first, last = tensor["data_offsets"]
                yield name, last - first


def _index_shards(index: dict[str, Any], name: str) -> list[str]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{name} has no weight_map; expected the index of sharded weights")
    return sorted(set(weight_map.values()))


def _of_index(architecture: Architecture, index: dict[str, Any], name: str) -> Weights:
    """Computed from config.json, and held against the total that the index has."""
    weights = computed_weights(architecture)
    total = (index.get("metadata") or {}).get("total_size")
    if isinstance(total, int) and abs(total - weights.total) > INDEX_TOLERANCE * total:
        raise CheckpointError(
            f"{name} says {total} bytes and config.json comes to {weights.total}; expected the two "
            "to agree. Fetch the shards' headers with the repository's name"
        )
    return Weights(architecture, weights.tensors, "computed from config.json, as the index says")


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError as error:
        raise CheckpointError(f"{name} is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{name} is no JSON object")
    return parsed
