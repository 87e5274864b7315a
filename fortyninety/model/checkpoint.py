"""Read what a checkpoint on a hub weighs: its config.json, its index, the beginnings of shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.weights import Weights, computed_weights, read_weights
from fortyninety.model.hub import Hub, HubError, is_https
from fortyninety.model.reader import (
    LONGEST_CONFIG,
    LONGEST_HEADER,
    LONGEST_INDEX,
    index_shards,
    parse_object,
    shard_tensors,
)
from fortyninety.on_host.checkpoint_files import File

INDEX = "model.safetensors.index.json"
# Asked for at once, in bytes: nearly every header is shorter, so that a shard takes one request.
# As huggingface_hub does (_parse_safetensors_header).
BEGINNING = 100_000


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
    repository: str,
    revision: str = "main",
    *,
    endpoint: str | None = None,
    token: str | None = None,
    files: Iterable[File] | None = None,
) -> HubCheckpoint:
    """Read a checkpoint on a hub (`endpoint`, or the public one).

    Of a hub that is not https, config.json alone is read, and only where `files` is the list of the
    commit, by which it is checked. Raises CheckpointError where the hub does not answer, has no
    such repository, or says what cannot be.
    """
    digests = {file.path: file.sha256 for file in files or ()}
    plain = endpoint is not None and not is_https(endpoint)
    try:
        hub = Hub(endpoint, None if plain else token, checked=bool(digests))
        reader = _Reader(hub, repository, revision, digests)
        return reader.config_alone() if plain else reader.everything()
    except HubError as error:
        raise CheckpointError(
            f"{error}; give a folder with its config.json in place of the repository's name"
        ) from error


class _Reader:
    """Reads one commit. Raises CheckpointError and HubError."""

    def __init__(
        self, hub: Hub, repository: str, revision: str, digests: dict[str, str | None]
    ) -> None:
        self._hub = hub
        self._repository = repository
        self._what = f"{repository} at {revision}"
        self._root = f"/{repository}/resolve/{quote(revision, safe='')}"
        self._digests = digests
        self._beginnings: dict[str, bytes] = {}

    def config_alone(self) -> HubCheckpoint:
        config = self._config()
        weights = computed_weights(read_architecture(config))
        return HubCheckpoint(config, tuple((each.name, each.size) for each in weights.tensors))

    def everything(self) -> HubCheckpoint:
        config = self._config()
        # Refused by its config, a checkpoint's shards are not even begun.
        read_architecture(config)
        index = self._whole(INDEX, LONGEST_INDEX)
        if index is None:
            self._lacks = "and no index"
            shards = ["model.safetensors"]
        else:
            self._lacks = "which its index names"
            name = f"{self._repository}'s index"
            shards = index_shards(parse_object(index, name), name)
        return HubCheckpoint(config, tuple(shard_tensors(shards, self._part)))

    def _config(self) -> dict[str, Any]:
        config = self._whole("config.json", LONGEST_CONFIG)
        if config is None:
            raise CheckpointError(
                f"{self._what} has no config.json on {self._hub.name}; check the name, the "
                "revision, and whether it wants a token"
            )
        return parse_object(config, f"{self._repository}/config.json")

    def _whole(self, path: str, most: int) -> bytes | None:
        """A small file, held to the list where there is one; None where there is no such file."""
        if self._digests and path not in self._digests:
            return None
        content = self._content(path, most, None)
        if content is None or not self._digests:
            return content
        found = hashlib.sha256(content).hexdigest()
        if found != self._digests[path]:
            raise CheckpointError(
                f"{path} of {self._what} on {self._hub.name} has SHA-256 {found}; expected "
                f"{self._digests[path]}"
            )
        return content

    def _part(self, shard: str, start: int, length: int) -> bytes:
        end = start + length
        beginning = self._beginnings.get(shard)
        if beginning is None:
            beginning = self._span(shard, 0, max(BEGINNING, end))
            # Of one shard at a time: it is not asked for again after the next has begun.
            self._beginnings = {shard: beginning}
        if end > len(beginning) and len(beginning) >= BEGINNING:
            beginning += self._span(shard, len(beginning), end)
        return beginning[start:end]

    def _span(self, shard: str, start: int, end: int) -> bytes:
        content = self._content(shard, LONGEST_HEADER + BEGINNING, (start, end))
        if content is None:
            raise CheckpointError(f"{self._what} has no {shard} on {self._hub.name}, {self._lacks}")
        return content

    def _content(self, path: str, most: int, span: tuple[int, int] | None) -> bytes | None:
        try:
            return self._hub.content(f"{self._root}/{quote(path)}", most=most, span=span)
        except HubError as error:
            if error.status in (401, 403, 404):
                return None
            raise
