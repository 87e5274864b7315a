#!/usr/bin/env python3
"""Mark a Python environment as whole with a list of its files, and put one right by its list.

The mark is the last file of an environment: it is written when everything else is on the disk, and
lists what that is, a line for each file, link and folder, sorted by bytes:

    d MODE OWNER PATH            a folder
    f MODE OWNER SIZE PATH       a file; l for a link

so that files that a power cut left empty, or that somebody may no longer read, are found by one
`find` that reads no content (survey/survey.sh). What is not on the list does not count: Python
writes bytecode beside its modules. An environment is readable for everybody and writable for root
alone, whatever the umask is under which it was made.

    seal-environment seal DIRECTORY      set modes, wait for the disk, write the mark
    seal-environment sizes DIRECTORY     exit code 0 where every file has the size that its package
                                         says, 1 with those that have not on standard error
    seal-environment restore DIRECTORY   set modes; exit code 0 where it then is as its mark says, 1
                                         with what is not on standard error. A mark without a list,
                                         as earlier releases wrote it, gets one where every file has
                                         the size that its package says.

Python 3.10, no packages.
"""

import argparse
import csv
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

MARK = ".fortyninety-complete"
# How many files are named that are not as they should be.
NAMED = 3


class Damaged(Exception):
    """What of an environment is not as it should be."""


def entries(directory: Path) -> Iterator[tuple[bytes, os.stat_result]]:
    """Every file, link and folder below a folder but its mark: the path from there, and its state.

    No link is followed.
    """
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder, name)
            relative = os.fsencode(path.relative_to(directory))
            if relative not in (MARK.encode(), beside(MARK).encode()):
                yield relative, path.lstat()


def beside(name: str) -> str:
    """The name of a file before it takes its place."""
    return f"{name}.new"


def listing(directory: Path) -> list[bytes]:
    """The lines of a mark for an environment as it is now."""
    return sorted(line(path, state) for path, state in entries(directory))


def line(path: bytes, state: os.stat_result) -> bytes:
    """The line of a mark for one file, link or folder."""
    mode = b"%o %d" % (stat.S_IMODE(state.st_mode), state.st_uid)
    if stat.S_ISDIR(state.st_mode):
        return b"d %b %b" % (mode, path)
    kind = b"l" if stat.S_ISLNK(state.st_mode) else b"f"
    return b"%b %b %d %b" % (kind, mode, state.st_size, path)


def set_modes(directory: Path) -> None:
    """Everything is root's and everybody's to read; what anybody may execute, all may."""
    owner = os.geteuid()
    for relative, state in ((b"", directory.lstat()), *entries(directory)):
        path = directory / os.fsdecode(relative)
        if state.st_uid != owner:
            os.lchown(path, owner, os.getegid())
        if stat.S_ISLNK(state.st_mode):
            continue
        executable = stat.S_ISDIR(state.st_mode) or state.st_mode & 0o111
        mode = 0o755 if executable else 0o644
        if stat.S_IMODE(state.st_mode) != mode:
            path.chmod(mode)


def seal(directory: Path) -> None:
    """Write the mark, after everything that it says reached the disk. Raises OSError."""
    os.umask(0o022)
    set_modes(directory)
    lines = listing(directory)
    subprocess.run(["sync", "--file-system", str(directory)], check=True)
    mark = directory / MARK
    new = directory / beside(MARK)
    with new.open("wb") as stream:
        stream.write(b"".join(b"%b\n" % each for each in lines))
        os.fchmod(stream.fileno(), 0o644)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(mark)
    for folder in (directory, directory.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def restore(directory: Path) -> None:
    """Make an environment what its mark says, as far as modes do. Raises Damaged, OSError."""
    os.umask(0o022)
    try:
        wanted = (directory / MARK).read_bytes().split(b"\n")
    except FileNotFoundError:
        raise Damaged(f"{directory} has no mark: it was cut off midway, or is not there") from None
    if wanted == [b""]:
        right_sizes(directory)
        seal(directory)
        return
    set_modes(directory)
    # The last piece is what comes behind the last end of a line: nothing, unless it was cut.
    wrong = sorted({*wanted[:-1]} - {*listing(directory)})
    wrong += [wanted[-1]] if wanted[-1] else []
    if wrong:
        named = ", ".join(ascii(os.fsdecode(each)) for each in wrong[:NAMED])
        raise Damaged(
            f"{len(wrong)} files are not what they were when it was made, such as {named}"
        )


def right_sizes(directory: Path) -> None:
    """Raise Damaged where a file is missing or has another size than its package says."""
    if wrong := list(wrong_sizes(directory)):
        named = ", ".join(ascii(each) for each in wrong[:NAMED])
        raise Damaged(f"{len(wrong)} files have not the size that their packages say: {named}")


def wrong_sizes(directory: Path) -> Iterator[str]:
    """The files of an environment's packages that are missing or have another size than recorded.

    A package that has no record is one too, and so is an environment without packages. Bytecode is
    left out: it is compiled anew, also where a package brings its own (numpy does). Of a path that
    several packages have, any of their sizes is right.
    """
    packages = list(directory.glob("lib/python3*/site-packages/*.dist-info"))
    if not packages:
        yield f"{directory}/lib"
    sizes: dict[str, set[int]] = {}
    for information in packages:
        record = information / "RECORD"
        if not record.is_file() or record.stat().st_size == 0:
            yield str(record)
            continue
        with record.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
            for path, *_, size in csv.reader(stream):
                if size and not path.endswith(".pyc"):
                    sizes.setdefault(os.path.normpath(information.parent / path), set()).add(
                        int(size)
                    )
    for path, right in sizes.items():
        file = Path(path)
        if not file.is_file() or file.stat().st_size not in right:
            yield path


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    actions = {"seal": seal, "sizes": right_sizes, "restore": restore}
    parser.add_argument("action", choices=actions)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    try:
        actions[options.action](options.directory)
    except (Damaged, OSError, subprocess.SubprocessError, csv.Error, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
