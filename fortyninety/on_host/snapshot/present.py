"""Find what is on this host already, and whether the disk has room for the rest."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.arrival import Arrival, accept, copy_in
from fortyninety.on_host.snapshot.digest import check_file, in_parallel
from fortyninety.on_host.snapshot.failures import Failure, WrongBytes
from fortyninety.on_host.snapshot.folder import Folder, is_ours
from fortyninety.on_host.snapshot.manifest import read_manifest
from fortyninety.on_host.snapshot.places import ARRIVING, REVISION, VERIFIED, Places
from fortyninety.on_host.snapshot.verified import note_verified, noted

# Left free beside the snapshot, in bytes: a disk that is full to the brim serves nobody.
FREE_MARGIN = 2 * 10**9

Candidate = tuple[Folder, str]
"""Where a file may be: a folder, and the path below it."""


def inspect(places: Places, files: Sequence[File], second_copy: Path | None) -> dict[str, Any]:
    """Put everything right that is on this host into `partial`, each byte of it hashed.

    It may come from a fetch that was cut, from the published snapshot where only a part of it is
    damaged, from another commit with the same file, and from the second copy. Raises Failure where
    what is missing would not fit onto the disk.

    The answer also says what has begun to arrive from outside, in bytes: this host goes on with it.
    """
    remove_strays(places, files)
    known = noted(places, files)
    with contextlib.ExitStack() as closing:
        elsewhere = _Elsewhere(places, second_copy, closing)

        def find(file: File) -> str | None:
            if file.path in known:
                return known[file.path]
            for candidate in elsewhere.candidates(file):
                with contextlib.suppress(WrongBytes):
                    return _take(places, file, candidate)
            places.partial.remove(file.path)
            return None

        digests = in_parallel(find, list(files))
    refuse_full_disk(places, files, [each is not None for each in digests])
    return {
        "verified": {
            file.path: sha256
            for file, sha256 in zip(files, digests, strict=True)
            if sha256 is not None
        },
        "begun": {
            file.path: size
            for file, sha256 in zip(files, digests, strict=True)
            if sha256 is None and (size := _begun(places, file))
        },
    }


def remove_strays(places: Places, files: Sequence[File]) -> None:
    """Remove what the commit does not have: nothing is published but what was asked for."""
    wanted = {file.path for file in files}
    _keep_only(places.partial, wanted)
    _keep_only(places.incoming, {f"{ARRIVING}/{path}" for path in wanted} | {VERIFIED})


def _keep_only(folder: Folder, wanted: set[str]) -> None:
    """Remove what is neither a wanted file nor a folder of one that is ours alone."""
    filled = {str(parent) for path in wanted for parent in PurePosixPath(path).parents}
    for path, ours in folder.folders():
        if path not in filled or not ours:
            folder.remove(path)
    for path, is_file in list(folder.files()):
        if path not in wanted or not is_file:
            folder.remove(path)


class _Elsewhere:
    """The folders of this host that may have files of the commit."""

    def __init__(
        self, places: Places, second_copy: Path | None, closing: contextlib.ExitStack
    ) -> None:
        self._places = places
        self._published = _folder_of(places.model, places.revision, closing)
        self._others: list[Folder] = []
        self._same: dict[tuple[str | None, int], list[Candidate]] = {}
        self._second_copy = None
        for name in places.model.names():
            if not REVISION.fullmatch(name) or name == places.revision:
                continue
            commit = _folder_of(places.model, name, closing)
            if commit is None:
                continue
            with contextlib.suppress(Failure):
                for file in read_manifest(commit):
                    self._same.setdefault((file.sha256, file.size), []).append((commit, file.path))
                self._others.append(commit)
        if second_copy is not None:
            with contextlib.suppress(Failure):
                self._second_copy = closing.enter_context(Folder.open(second_copy))

    def candidates(self, file: File) -> Iterator[Candidate]:
        """Where the file may be, what is nearest first."""
        yield self._places.partial, file.path
        if self._published is not None:
            yield self._published, file.path
        if file.sha256 is None:
            yield from ((commit, file.path) for commit in self._others)
        else:
            yield from self._same.get((file.sha256, file.size), [])
        yield self._places.incoming, f"{ARRIVING}/{file.path}"
        if self._second_copy is not None:
            yield self._second_copy, file.path


def _folder_of(model: Folder, name: str, closing: contextlib.ExitStack) -> Folder | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return closing.enter_context(model.folder(name))
    return None


def _take(places: Places, file: File, candidate: Candidate) -> str:
    """Have a right file in `partial`, and return its SHA-256.

    Raises WrongBytes where it is not right or cannot be read.
    """
    folder, path = candidate
    try:
        descriptor = folder.open_file(path)
    except OSError as error:
        raise WrongBytes(str(error)) from error
    try:
        try:
            sha256 = check_file(descriptor, file, str(folder.path))
        except OSError as error:  # a sector that cannot be read
            raise WrongBytes(str(error)) from error
        state = os.fstat(descriptor)
        same_disk = state.st_dev == os.fstat(places.partial.descriptor).st_dev
        if not is_ours(state) or not same_disk:
            # Somebody else may still write to it: a copy is what is hashed, and ours alone.
            return _copy(places, file, descriptor, str(folder.path))
        os.fchmod(descriptor, 0o644)
        if folder is places.incoming:
            accept(places, file, path, sha256)
            return sha256
        if folder is not places.partial:
            _make_parent(places, file)
            try:
                places.partial.link(descriptor, file.path)
            except PermissionError:  # a disk that knows no second name of a file
                return _copy(places, file, descriptor, str(folder.path))
        note_verified(places, file, sha256)
        return sha256
    finally:
        os.close(descriptor)


def _copy(places: Places, file: File, descriptor: int, source: str) -> str:
    with Arrival(places, file, source) as arrival:
        arrival.restart()
        copy_in(descriptor, arrival)
        return arrival.accept()


def _make_parent(places: Places, file: File) -> None:
    folder = file.path.rpartition("/")[0]
    if folder:
        with places.partial.make(folder):
            pass


def _begun(places: Places, file: File) -> int:
    """How many bytes of a file a cut fetch left here."""
    state = places.incoming.state(f"{ARRIVING}/{file.path}")
    return min(state.st_size, file.size) if state is not None else 0


def refuse_full_disk(places: Places, files: Sequence[File], present: Sequence[bool]) -> None:
    """Raise Failure where what is still to be fetched would not fit, before the first byte."""
    lacking = [file for file, is_here in zip(files, present, strict=True) if not is_here]
    if not lacking:
        return
    refuse_without_room(
        places,
        sum(file.size for file in lacking),
        begun=sum(_begun(places, file) for file in lacking),
    )


def refuse_without_room(places: Places, missing: int, *, begun: int = 0) -> None:
    """Raise Failure where the disk has no room for `missing` bytes, of which `begun` are here."""
    free = free_bytes(places.model)
    needed = max(0, missing - begun) + FREE_MARGIN
    if free < needed:
        raise Failure(
            f"{places.model.path} has {free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed "
            f"(still to fetch {missing / 1e9:.1f} GB, of which here {begun / 1e9:.1f} GB, "
            f"margin {FREE_MARGIN / 1e9:.1f} GB)"
        )


def free_bytes(folder: Folder) -> int:
    """What the disk of a folder has free for those who are not root."""
    disk = os.fstatvfs(folder.descriptor)
    return disk.f_bavail * disk.f_frsize
