"""A folder read as a repository of the Hub: files with their digests, and a commit made of them.

The commit is the one git would compute for these files at a fixed time with a fixed author, so it
changes exactly when a file does and is the same on every machine.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

LARGE_FILE_SUFFIXES = frozenset({".bin", ".gguf", ".pt", ".pth", ".safetensors"})
"""What the Hub keeps in LFS whatever its size: listed with a SHA-256 instead of a git blob id."""

BRANCH = "main"

IDENTITY = "fortyninety lab <lab@fortyninety.invalid> 1700000000 +0000"
MESSAGE = "Snapshot\n"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHUNK = 1 << 20


class RepositoryNotFoundError(LookupError):
    """There is no such repository below the hub's folder."""


@dataclass(frozen=True)
class RepositoryFile:
    """One file of a repository, as the Hub lists it.

    `blob_id` is the git object's SHA-1: of the content, or of the LFS pointer for a large file,
    whose content is named by `sha256`. `size` is the content's, in bytes.
    """

    path: str
    location: Path
    size: int
    blob_id: str
    sha256: str | None
    pointer_size: int | None

    @property
    def entity_tag(self) -> str:
        """What names the content: the SHA-256 of a large file, the blob id of a small one."""
        return self.sha256 or self.blob_id


@dataclass(frozen=True)
class Snapshot:
    """A repository at its one commit."""

    repository: str
    commit: str
    files: dict[str, RepositoryFile]


def _git_object(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return what git has in place of a large file."""
    return (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


# The size and the time of change are part of the key: a file is read again when it changes.
@lru_cache(maxsize=4096)
def _describe(path: str, location: Path, size: int, changed_ns: int) -> RepositoryFile:
    if location.suffix not in LARGE_FILE_SUFFIXES:
        blob_id = _git_object("blob", location.read_bytes())
        return RepositoryFile(path, location, size, blob_id, None, None)
    sha256 = _sha256(location)
    pointer = lfs_pointer(sha256, size)
    return RepositoryFile(path, location, size, _git_object("blob", pointer), sha256, len(pointer))


def _tree(files: dict[str, RepositoryFile]) -> str:
    """Return the git tree id of `files`, keyed by their path below this tree."""
    folders: dict[str, dict[str, RepositoryFile]] = {}
    entries: list[tuple[str, bytes]] = []
    for path, file in files.items():
        first, *rest = PurePosixPath(path).parts
        if rest:
            folders.setdefault(first, {})["/".join(rest)] = file
        else:
            entries.append((first, f"100644 {first}\0".encode() + bytes.fromhex(file.blob_id)))
    for name, inside in folders.items():
        # Git sorts a folder as if its name ended in a slash.
        entries.append((name + "/", f"40000 {name}\0".encode() + bytes.fromhex(_tree(inside))))
    return _git_object("tree", b"".join(entry for _, entry in sorted(entries)))


def read_snapshot(root: Path, repository: str) -> Snapshot:
    """Read the repository `ORGANISATION/NAME` below `root` as it is now.

    Raises RepositoryNotFoundError where there is no such folder.
    """
    folder = root / repository
    if not _NAME.fullmatch(repository) or not folder.is_dir():
        raise RepositoryNotFoundError(f"no repository {repository!r} in {root}")
    files = {}
    for location in sorted(folder.rglob("*")):
        if location.is_file():
            path = location.relative_to(folder).as_posix()
            state = location.stat()
            files[path] = _describe(path, location, state.st_size, state.st_mtime_ns)
    commit = f"tree {_tree(files)}\nauthor {IDENTITY}\ncommitter {IDENTITY}\n\n{MESSAGE}"
    return Snapshot(repository, _git_object("commit", commit.encode()), files)


def head_commit(root: Path, repository: str) -> str:
    """Return the 40 hexadecimal digits of the commit that `main` of `repository` points to.

    Raises RepositoryNotFoundError where there is no such repository below `root`.
    """
    return read_snapshot(root, repository).commit
