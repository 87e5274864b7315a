"""The JSON bodies of the Hub's interface, from a repository's files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from lab.hub.repository import RepositoryFile, Snapshot


def _sibling(file: RepositoryFile, blobs: bool) -> dict[str, Any]:
    page: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        page |= {"size": file.size, "blobId": file.blob_id}
        if file.sha256 is not None:
            page["lfs"] = {
                "sha256": file.sha256,
                "size": file.size,
                "pointerSize": file.pointer_size,
            }
    return page


def model_information(snapshot: Snapshot, blobs: bool, listed: Mapping[str, str]) -> dict[str, Any]:
    """Return what `/api/models/...` says; with `blobs`, sizes and digests of every file too.

    `listed` has the SHA-256 of files that the list gives wrong.
    """
    organisation = snapshot.repository.partition("/")[0]
    return {
        "id": snapshot.repository,
        "modelId": snapshot.repository,
        "author": organisation,
        "sha": snapshot.commit,
        "lastModified": "2023-11-14T22:13:20.000Z",
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        "siblings": [
            _sibling(replace(file, sha256=listed.get(file.path, file.sha256)), blobs)
            for file in snapshot.files.values()
        ],
    }


def _tree_file(file: RepositoryFile) -> dict[str, Any]:
    page: dict[str, Any] = {
        "type": "file",
        "oid": file.blob_id,
        "size": file.size,
        "path": file.path,
    }
    if file.sha256 is not None:
        page["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": file.pointer_size}
    return page


def tree(snapshot: Snapshot, folder: str, recursive: bool) -> list[dict[str, Any]] | None:
    """Return the entries of `folder` (the top is ``""``), or None where there is no such folder."""
    below = PurePosixPath(folder)
    files: list[dict[str, Any]] = []
    folders: set[str] = set()
    for path, file in snapshot.files.items():
        pure = PurePosixPath(path)
        if folder and below not in pure.parents:
            continue
        inside = [parent for parent in pure.parents if below in parent.parents]
        folders.update(
            parent.as_posix() for parent in inside if recursive or parent.parent == below
        )
        if recursive or not inside:
            files.append(_tree_file(file))
    if folder and not files and not folders:
        return None
    entries = [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": path} for path in sorted(folders)
    ]
    return [*entries, *files]
