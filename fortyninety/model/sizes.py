"""Find the size of a checkpoint at a pinned commit, from any source the controller has.

A commit never changes, so what was learnt once is kept in the user's cache and an offline
controller knows it from then on.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import CheckpointError, FitError
from fortyninety.fit.weights import Weights, read_weights
from fortyninety.model.checkpoint import hub_checkpoint
from fortyninety.model.file_list import FileListUnknown, cache_directory, known_file_list
from fortyninety.model.reader import known_repositories, known_weights


def checkpoint_sizes(
    repository: str,
    revision: str,
    endpoint: str | None,
    token: str | None = None,
    *,
    ask: bool = True,
) -> Weights:
    """From checkpoints/, from the user's cache, or from the hub, in this order.

    `revision` is a full commit; without `ask` the hub is left alone. What the hub says is held to
    the list of the commit's files where that is known. Raises FitError where none of them knows it.
    """
    known = known_weights(repository, revision)
    if known is not None:
        return known
    kept = cache_directory() / f"{repository.replace('/', '--')}@{revision}.json"
    if (weights := _kept(kept)) is not None:
        return weights
    if not ask:
        raise FitError(f"{repository} at {revision} is not known here")
    try:
        files = known_file_list(repository, revision)
    except FileListUnknown as unknown:
        raise CheckpointError(str(unknown)) from unknown
    checkpoint = hub_checkpoint(repository, revision, endpoint=endpoint, token=token, files=files)
    _keep(kept, {"config": checkpoint.config, "tensors": checkpoint.tensors})
    return checkpoint.weights


@cache
def known_checkpoints() -> tuple[tuple[str, Weights], ...]:
    """The checkpoints that may stand in for one that does not fit, by name."""
    found = ((name, known_weights(name)) for name in known_repositories())
    return tuple((name, weights) for name, weights in found if weights is not None)


def _kept(path: Path) -> Weights | None:
    try:
        record = json.loads(path.read_text())
        weights = read_weights(read_architecture(record["config"]), record["tensors"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, FitError):
        # Not there, or cut while it was written: it is learnt anew.
        return None
    return Weights(weights.architecture, weights.tensors, "read from the hub before")


def _keep(path: Path, record: dict[str, object]) -> None:
    """By one rename. A cache that cannot be written is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(record))
        beside.replace(path)
    except OSError:
        return
