"""Know what a checkpoint's pinned commit consists of, without taking a host's word for it.

The list of files with their sizes and SHA-256 is the root of trust for every byte that is served:
hosts, peers and mirrors are measured against it, and none of them is asked for it. It comes from
`checkpoints/` (<organisation>--<name>@<commit>.files.json), from what this user kept before, or
from the hub over https, once, held to what git proves of the commit. A commit never changes, so a
second answer must be the first one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fortyninety.checkout import CHECKPOINTS
from fortyninety.model.commit_files import LARGEST_SMALL, GitSilent, commit_files
from fortyninety.model.hub import ANSWER, Hub, HubError, shown_address
from fortyninety.on_host.checkpoint_files import File, FileListError, manifest_text, parse_files
from fortyninety.on_host.snapshot.places import REVISION

# The small files that a hub does not hash are fetched, to be held to their git name and hashed
# here, where git does not bring them. Seconds.
PATIENCE = 300.0
# A kept list: 10,000 files of 800 bytes each.
LONGEST_LIST = 8 * 2**20
# How a list was obtained, as it is kept and shown; the hub's word comes with a reason.
PROVED, HUBS_WORD, COPY = "proved by the commit", "the hub's word", "a trusted copy"

_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")


class FileListUnknown(Exception):
    """Why there is no list to trust, in one printable line that says what to do."""


@dataclass(frozen=True)
class HubList:
    """The files that a hub lists for a commit; `unproved` is why git could not prove them."""

    files: tuple[File, ...]
    unproved: str | None

    @property
    def proof(self) -> str:
        """How the list was obtained."""
        return PROVED if self.unproved is None else f"{HUBS_WORD}: {self.unproved}"


def file_list(
    repository: str,
    revision: str,
    endpoint: str | None,
    token: str | None = None,
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[File, ...]:
    """Return the files of a commit, each with its size and its SHA-256.

    A hub (`endpoint`, or the public one) is asked only where neither checkpoints/ nor this user has
    the list, and only over https; what it says is kept. `warn` is told, once, where git could not
    prove it. Raises FileListUnknown.
    """
    known = known_file_list(repository, revision)
    if known is not None:
        return known
    try:
        found = hub_file_list(repository, revision, endpoint, token)
    except FileListUnknown as unknown:
        raise FileListUnknown(f"{unknown}. {_remedy(repository, revision)}") from unknown
    if found.unproved is not None:
        warn(f"The list of files of {repository} at {revision} is {found.proof}")
    with contextlib.suppress(OSError):  # A cache that cannot be written is none.
        keep_file_list(repository, revision, found.files, _hub_name(endpoint), proof=found.proof)
    return found.files


def known_file_list(repository: str, revision: str) -> tuple[File, ...] | None:
    """Return the list of checkpoints/ or the one that was kept, or None: no hub is asked.

    Raises FileListUnknown where the two are not the same, or the one of checkpoints/ is damaged.
    """
    refuse_name(repository, revision)
    kept_path = cache_directory() / file_name(repository, revision)
    kept = _kept(kept_path, repository, revision)
    shipped = _shipped(repository, revision)
    if shipped is None or kept is None:
        return shipped or kept
    _refuse_other(shipped, kept, CHECKPOINTS / kept_path.name, str(kept_path))
    return shipped


def list_digest(files: tuple[File, ...]) -> str:
    """Return the SHA-256 of the manifest that a snapshot of these files is published with."""
    return hashlib.sha256(manifest_text(files).encode()).hexdigest()


def cache_directory() -> Path:
    """Return the folder in which this user keeps what was learnt of checkpoints."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "fortyninety" / "checkpoints"


def file_name(repository: str, revision: str) -> str:
    """Return the name of the file that a commit's list is kept in."""
    return f"{repository.replace('/', '--')}@{revision}.files.json"


def list_text(
    repository: str, revision: str, files: tuple[File, ...], source: str, proof: str = COPY
) -> str:
    """Return a list as it is kept: JSON, with the digest by which a cut one is found out."""
    page = {
        "repository": repository,
        "revision": revision,
        "source": source,
        "proof": proof,
        "digest": list_digest(files),
        "files": [asdict(file) for file in sorted(files, key=lambda file: file.path)],
    }
    return json.dumps(page, indent=1) + "\n"


def keep_file_list(
    repository: str,
    revision: str,
    files: tuple[File, ...],
    source: str,
    *,
    proof: str = COPY,
    replacing: bool = False,
) -> Path:
    """Keep a list for later runs, by one rename; return where.

    One that is kept already stays as it was obtained, unless this one is proved.
    Raises FileListUnknown where another one is kept or shipped and it is not to be replaced, and
    OSError where the folder cannot be written.
    """
    refuse_name(repository, revision)
    folder = cache_directory()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / file_name(repository, revision)
    with _alone(folder):
        if (shipped := _shipped(repository, revision)) is not None:
            _refuse_other(shipped, files, CHECKPOINTS / path.name, source)
        if not replacing and (kept := _kept(path, repository, revision)) is not None:
            _refuse_other(kept, files, path, source)
            if proof != PROVED:
                return path
        _write(path, list_text(repository, revision, files, source, proof))
    return path


def hub_file_list(
    repository: str, revision: str, endpoint: str | None, token: str | None = None
) -> HubList:
    """Return what the hub says of a commit now, over https alone, and whether git proves it.

    Raises FileListUnknown, also where git proves another list.
    """
    refuse_name(repository, revision)
    what = f"the files of {repository} at {revision} are not known here"
    deadline = time.monotonic() + PATIENCE
    try:
        hub = Hub(endpoint, token)
        page = hub.page(f"/api/models/{repository}/revision/{revision}?blobs=true")
        listed = files_of_page(page, revision)
        try:
            proved = commit_files(f"{hub.address}/{repository}", revision, token)
        except GitSilent as silent:
            files = tuple(
                _hashed(file, hub, repository, revision, deadline) if file.sha256 is None else file
                for file in listed
            )
            return HubList(files, str(silent))
        _refuse_unlike(listed, proved)
        return HubList(proved, None)
    except HubError as error:
        raise FileListUnknown(f"{what}, and {_explained(error, token)}") from error
    except FileListError as error:
        hub_name = _hub_name(endpoint)
        raise FileListUnknown(
            f"{what}, and what {hub_name} says cannot be used: {error}"
        ) from error


def files_of_page(page: object, revision: str) -> tuple[File, ...]:
    """Return the files that a hub's decoded answer about a commit has. Raises FileListError."""
    if not isinstance(page, dict):
        raise FileListError("it is no JSON object")
    if page.get("sha") != revision:
        said = page.get("sha")
        shown = ascii(said)[:60] if isinstance(said, str) else "none"
        raise FileListError(f"it is commit {shown}; expected {revision}")
    siblings = page.get("siblings")
    if not isinstance(siblings, list):
        raise FileListError("it has no list of files")
    return parse_files([_sibling(each) for each in siblings])


def _refuse_unlike(listed: tuple[File, ...], proved: tuple[File, ...]) -> None:
    """Raise FileListError with the first file of which the hub says what the commit does not."""
    said = {file.path: file for file in listed}
    known = {file.path: file for file in proved}
    for path in sorted(said.keys() | known.keys()):
        there, right = said.get(path), known.get(path)
        if there is None or right is None:
            raise FileListError(
                f"{path!a} is {'in' if there is None else 'not in'} the commit, as git proves, and "
                f"{'not in' if there is None else 'in'} its list"
            )
        # The hub gives the one or the other.
        name, expected = (
            ("git name", right.blob) if there.sha256 is None else ("SHA-256", right.sha256)
        )
        found = there.blob if there.sha256 is None else there.sha256
        if (there.size, found) != (right.size, expected):
            raise FileListError(
                f"it lists {path!a} with {there.size} bytes and {name} {found}; the commit has, as "
                f"git proves, {right.size} bytes and {name} {expected}"
            )


def _sibling(sibling: object) -> object:
    """A file in the form of this project, from the hub's; its values are still unchecked."""
    if not isinstance(sibling, dict):
        return sibling
    lfs = sibling.get("lfs")
    if lfs is not None and not isinstance(lfs, dict):
        raise FileListError("a file's lfs is no JSON object")
    size = sibling.get("size")
    if lfs is not None and lfs.get("size", size) != size:
        raise FileListError(f"a file has two sizes: {ascii(sibling.get('rfilename'))[:120]}")
    return {
        "path": sibling.get("rfilename"),
        "size": size,
        "sha256": lfs.get("sha256") if lfs is not None else None,
        "blob": sibling.get("blobId"),
    }


def _hashed(file: File, hub: Hub, repository: str, revision: str, deadline: float) -> File:
    """The file with its SHA-256, which is that of the content with its git name."""
    if file.size > LARGEST_SMALL:
        raise FileListError(f"{file.path!a} has {file.size} bytes and no SHA-256")
    left = deadline - time.monotonic()
    if left <= 0:
        raise HubError(f"{hub.name} takes more than {PATIENCE:.0f} s")
    path = f"/{repository}/resolve/{revision}/{quote(file.path)}"
    content = hub.content(path, most=file.size, seconds=min(ANSWER, left))
    if len(content) != file.size or git_name(content) != file.blob:
        raise FileListError(f"{file.path!a} is not what the list has: its git name is another")
    return replace(file, sha256=hashlib.sha256(content).hexdigest())


def git_name(content: bytes) -> str:
    """Return the name of the git object with this content."""
    header = b"blob %d\0" % len(content)
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


def _shipped(repository: str, revision: str) -> tuple[File, ...] | None:
    path = CHECKPOINTS / file_name(repository, revision)
    try:
        return _parse(path.read_bytes(), repository, revision)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FileListUnknown(
            f"{path} cannot be used ({error}): check out the project again"
        ) from error


def _kept(path: Path, repository: str, revision: str) -> tuple[File, ...] | None:
    """The list in a file that only this user (or root) can write, or None.

    What is cut, damaged or somebody else's is no list, and learnt anew.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            state = os.fstat(stream.fileno())
            others = state.st_uid not in (0, os.geteuid())
            others = others or bool(state.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
            if others or not stat.S_ISREG(state.st_mode):
                return None
            return _parse(stream.read(LONGEST_LIST + 1), repository, revision)
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    """By one rename, once it is on the disk. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _parse(content: bytes, repository: str, revision: str) -> tuple[File, ...]:
    """The files of a list as it is kept. Raises ValueError where it is not wholly right."""
    if len(content) > LONGEST_LIST:
        raise FileListError(f"it has more than {LONGEST_LIST} bytes")
    try:
        page: Any = json.loads(content)
    except RecursionError as error:
        raise FileListError("it is no JSON that can be read") from error
    if not isinstance(page, dict):
        raise FileListError("it is no JSON object")
    if (page.get("repository"), page.get("revision")) != (repository, revision):
        raise FileListError("it is of another commit")
    files = parse_files(page.get("files"))
    if list_digest(files) != page.get("digest"):
        raise FileListError("its digest is another: it was cut or changed")
    return files


def _refuse_other(kept: tuple[File, ...], other: tuple[File, ...], path: Path, source: str) -> None:
    """Raise FileListUnknown where two lists of one commit are not the same."""
    if list_digest(kept) == list_digest(other):
        return
    contents = [{(file.path, file.size, file.sha256) for file in each} for each in (kept, other)]
    first = min(contents[0] ^ contents[1])[0]
    raise FileListUnknown(
        f"{path} has another list of files than {source}, beginning with {first}. A commit never "
        "changes, so one of the two is wrong: find out which before anything is fetched. "
        "(`fortyninety snapshot pin --replace` keeps another list in place of this user's)"
    )


def refuse_name(repository: str, revision: str) -> None:
    """Raise FileListUnknown for what is no repository, or no full commit."""
    if not _REPOSITORY.fullmatch(repository) or not REVISION.fullmatch(revision):
        name = f"{ascii(repository)[:120]} at {ascii(revision)[:60]}"
        raise FileListUnknown(
            f"{name} is no pinned checkpoint; expected organisation/name and a full commit hash of "
            "40 hexadecimal digits"
        )


def _explained(error: HubError, token: str | None) -> str:
    reasons = {
        401: "the token is wrong or expired" if token else "it wants a token (hub_token)",
        403: "the licence is not accepted on its page, or the token (hub_token) may not read it",
        404: "it has no such repository or commit",
        429: "it limits the rate of requests: try again later",
    }
    reason = reasons.get(error.status or 0)
    return f"{error}: {reason}" if reason else str(error)


def _remedy(repository: str, revision: str) -> str:
    return (
        "Where the hub is out of reach, give the list: "
        f"`fortyninety snapshot pin {repository} {revision} --folder FOLDER` with a copy that you "
        "trust, or --manifest FILE"
    )


def _hub_name(endpoint: str | None) -> str:
    return shown_address(endpoint) if endpoint else "the public hub"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder of lists."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
