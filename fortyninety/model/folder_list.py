"""Make the list of a checkpoint's files from a copy that the operator trusts."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
from pathlib import Path

from fortyninety.on_host.checkpoint_files import (
    LONGEST_TEXT,
    MOST_FILES,
    File,
    FileListError,
    parse_files,
    parse_manifest,
)

# What tools keep in a copy, and no commit has: the hub's client, git, and this project.
NOT_OF_THE_CHECKPOINT = frozenset({".cache", ".git", ".fortyninety-manifest"})
# How git names a file that it did not fetch (git-lfs, docs/spec.md).
_POINTER = b"version https://git-lfs.github.com/spec/"


def folder_files(folder: Path) -> tuple[File, ...]:
    """Hash every file of a folder, as many at a time as there are cores.

    A link to a file counts as the file: the hub's client keeps its files so. Raises FileListError
    where it cannot be the whole of a checkpoint, and OSError where a file cannot be read.
    """
    paths = _paths(folder)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        listed = list(pool.map(lambda path: _file(folder, path), paths))
    return parse_files(listed)


def manifest_files(manifest: Path) -> tuple[File, ...]:
    """Read a published snapshot's manifest, which has "<sha256>  <bytes>  <path>" a line.

    Raises FileListError, and OSError where it cannot be read.
    """
    with manifest.open("rb") as stream:
        content = stream.read(4 * LONGEST_TEXT + 1)
    try:
        return parse_manifest(content.decode())
    except UnicodeDecodeError as error:
        raise FileListError("the manifest is not valid UTF-8") from error


def _paths(folder: Path) -> list[str]:
    """The files of the checkpoint below the folder, relative to it. Raises FileListError."""
    found: list[str] = []

    def refuse(error: OSError) -> None:
        raise error

    for here, folders, files in os.walk(folder, onerror=refuse):
        if Path(here) == folder:
            folders[:] = [each for each in folders if each not in NOT_OF_THE_CHECKPOINT]
            files = [each for each in files if each not in NOT_OF_THE_CHECKPOINT]  # noqa: PLW2901
        for name in folders:
            if (Path(here) / name).is_symlink():
                raise FileListError(f"{str(Path(here) / name)!a} is a link to a folder")
        found += [(Path(here) / name).relative_to(folder).as_posix() for name in files]
        if len(found) > MOST_FILES:
            raise FileListError(f"{str(folder)!a} has more than {MOST_FILES} files")
    return found


def _file(folder: Path, path: str) -> dict[str, object]:
    whole = folder / path
    if not whole.is_file():  # of a device or a pipe there would be no end
        raise FileListError(f"{str(whole)!a} is no file")
    with whole.open("rb") as stream:
        if stream.peek(len(_POINTER)).startswith(_POINTER):
            raise FileListError(
                f"{str(whole)!a} only points to its content: run `git lfs pull` there first"
            )
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    return {"path": path, "size": size, "sha256": sha256}
