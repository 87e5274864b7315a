"""Reach what is below a folder by open descriptors, so that no symbolic link redirects a step.

Steps run as root, and paths come from lists of files. Each part of a path is opened by itself and
never followed where it is a link; what is created is new, and what is removed is below the folder.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from fortyninety.on_host.snapshot.failures import Failure

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait for who writes to a named pipe.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Folder:
    """A folder that is held open. `path` is what messages call it."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def open(cls, path: Path) -> "Folder":
        """Open a folder by its path, whose last part is no link. Raises Failure."""
        try:
            return cls(os.open(path, _FOLDER), path)
        except FileNotFoundError as error:
            raise Failure(f"{path} is not there") from error
        except OSError as error:  # a link, a file
            raise Failure(f"{path} is not a folder: {error.strerror}") from error

    def __enter__(self) -> "Folder":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def folder(self, path: str) -> "Folder":
        """Open a folder below this one.

        Raises FileNotFoundError, and NotADirectoryError where any part of the path is a link.
        """
        descriptor = os.dup(self.descriptor)
        for part in path.split("/"):
            try:
                inner = os.open(part, _FOLDER, dir_fd=descriptor)
            except OSError as error:
                if error.errno == errno.ELOOP:  # which of the two a link is, Linux says by version
                    raise NotADirectoryError(error.errno, error.strerror, path) from error
                raise
            finally:
                os.close(descriptor)
            descriptor = inner
        return Folder(descriptor, self.path / path)

    def make(self, path: str) -> "Folder":
        """Open a folder below this one that is ours alone, made where it is missing.

        What others own or may write to, and what is no folder, is removed first.
        """
        here = Folder(os.dup(self.descriptor), self.path)
        for part in path.split("/"):
            with here:
                state = here.state(part)
                if state is not None and not (stat.S_ISDIR(state.st_mode) and is_ours(state)):
                    here.remove(part)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here.descriptor)
                here = here.folder(part)
            os.fchmod(here.descriptor, 0o755)
        return here

    def state(self, path: str) -> os.stat_result | None:
        """What is there, a link itself and not where it points; None where nothing is."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(path) as at:
            return os.stat(at[1], dir_fd=at[0], follow_symlinks=False)
        return None

    def open_file(self, path: str) -> int:
        """Open a regular file for reading and return its descriptor.

        Raises OSError where it is not there, or is anything else.
        """
        with self._parent(path) as (parent, name):
            descriptor = os.open(name, _FILE, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{self.path / path} is not a file")
        return descriptor

    def read_text(self, path: str, most: int) -> str:
        """The text of a small file. Raises OSError, and ValueError where it has more bytes."""
        with os.fdopen(self.open_file(path), "rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise ValueError(f"it has more than {most} bytes")
        return content.decode()

    def create(self, path: str, mode: int = 0o644) -> int:
        """Make a new file in a folder that is there, and open it to write to its end.

        What had the name is removed.
        """
        self.remove(path)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._parent(path) as (parent, name):
            return os.open(name, flags, mode, dir_fd=parent)

    def open_own(self, path: str) -> int | None:
        """Open a file to write to its end, where it is ours alone and has one name; else None."""
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with self._parent(path) as (parent, name):
                descriptor = os.open(name, flags, dir_fd=parent)
        except OSError:
            return None
        state = os.fstat(descriptor)
        if stat.S_ISREG(state.st_mode) and is_ours(state) and state.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        return None

    def link(self, descriptor: int, path: str) -> None:
        """Give an open file one more name here; what had the name is removed."""
        self.remove(path)
        with self._parent(path) as (parent, name):
            # By the descriptor: whoever may swap the file's first name does not choose.
            os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=parent, follow_symlinks=True)

    def rename(self, path: str, other: "Folder", other_path: str) -> None:
        """Move a file or folder to another folder; what had the name there is removed."""
        other.remove(other_path)
        with self._parent(path) as (parent, name), other._parent(other_path) as (to, new):
            os.rename(name, new, src_dir_fd=parent, dst_dir_fd=to)

    def remove(self, path: str) -> None:
        """Remove what is there, if something is: a folder with all that is in it, a link itself."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._parent(path) as at:
            _remove(*at, self.path / path)

    def names(self) -> list[str]:
        """The names of what is in the folder itself, sorted."""
        return sorted(name for name, _, _ in _entries(self.descriptor))

    def files(self) -> Iterator[tuple[str, bool]]:
        """The paths of all below that is no folder, and whether each is a regular file."""
        return _files(self.descriptor, "")

    def folders(self) -> list[tuple[str, bool]]:
        """The paths of all folders below, the deepest first, and whether each is ours alone."""
        return list(_folders(self.descriptor, ""))

    def synchronise(self) -> None:
        """Have every file and folder below reach the disk, and this folder last."""
        _synchronise(self.descriptor)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The folder that a path is in, open, and the path's last part."""
        folder, _, name = path.rpartition("/")
        if name in ("", ".", "..") or path.startswith("/"):
            raise ValueError(f"{path!r} names nothing below {self.path}")
        if not folder:
            yield self.descriptor, name
            return
        with self.folder(folder) as inner:
            yield inner.descriptor, name


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write to a file until all is written."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def is_ours(state: os.stat_result) -> bool:
    """Whether a file or folder is this process's own and nobody else may write to it."""
    return state.st_uid == os.geteuid() and not state.st_mode & _OTHERS_WRITE


def _entries(descriptor: int) -> list[tuple[str, bool, bool]]:
    """What is in an open folder: name, whether it is a folder, whether it is a regular file."""
    with os.scandir(descriptor) as found:
        return [
            (each.name, each.is_dir(follow_symlinks=False), each.is_file(follow_symlinks=False))
            for each in found
        ]


def _files(descriptor: int, below: str) -> Iterator[tuple[str, bool]]:
    for name, is_folder, is_file in _entries(descriptor):
        if not is_folder:
            yield below + name, is_file
            continue
        inner = os.open(name, _FOLDER, dir_fd=descriptor)
        try:
            yield from _files(inner, f"{below}{name}/")
        finally:
            os.close(inner)


def _folders(descriptor: int, below: str) -> Iterator[tuple[str, bool]]:
    for name, is_folder, _ in _entries(descriptor):
        if is_folder:
            inner = os.open(name, _FOLDER, dir_fd=descriptor)
            try:
                yield from _folders(inner, f"{below}{name}/")
                yield below + name, is_ours(os.fstat(inner))
            finally:
                os.close(inner)


def _remove(parent: int, name: str, path: Path) -> None:
    try:
        os.unlink(name, dir_fd=parent)
        return
    except IsADirectoryError:
        pass
    inner = os.open(name, _FOLDER, dir_fd=parent)
    try:
        if os.fstat(inner).st_dev != os.fstat(parent).st_dev:
            raise Failure(f"{path} is another file system; unmount it")
        for each, _, _ in _entries(inner):
            _remove(inner, each, path / each)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=parent)


def _synchronise(descriptor: int) -> None:
    for name, is_folder, is_file in _entries(descriptor):
        if not (is_folder or is_file):
            continue
        inner = os.open(name, _FOLDER if is_folder else _FILE, dir_fd=descriptor)
        try:
            if is_folder:
                _synchronise(inner)
            else:
                os.fsync(inner)
        finally:
            os.close(inner)
    os.fsync(descriptor)
