"""A Python environment against its packages' own records: what is missing, other, or nobody's.

Every file is compared with the SHA-256 in the RECORD of the package that it is of. A compiled file
has none; it must say that it was made from the source that lies beside it, and be older than the
mark that the environment was given when it was whole. With `--versions` no file is looked at but
the packages' names.

Works from within the folder of the packages: the way there, of ten folders, is not gone anew for
each of 50,000 files.
"""

import base64
import csv
import hashlib
import json
import os
import sys
import traceback
from pathlib import Path

# Written by who installs, and not by a package: uv's and pip's own marks.
INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
SHOWN = 20
# Written last, when everything was compiled.
MARK = ".fortyninety-complete"

# What is read into: bytes taken anew for each of 30,000 files cost as much as hashing them.
BUFFER = memoryview(bytearray(256 * 1024))
# Opening a pipe that lies in a file's place must not wait for who writes into it.
FOR_READING = os.O_RDONLY | os.O_NONBLOCK

# The path of a file as it is opened, its hash and its size as its package says them.
Entry = tuple[str, str, str]


def digest_of(file: int, size: int) -> str:
    digest = hashlib.sha256()
    while size > 0 and (count := os.readv(file, [BUFFER])):
        digest.update(BUFFER[:count])
        size -= count
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def compare(entry: Entry) -> str | None:
    path, expected, size = entry
    try:
        file = os.open(path, FOR_READING)
    except OSError:
        return "is missing"
    try:
        found = os.fstat(file).st_size
        if size and found != int(size):
            return f"has {found} bytes, its package says {size}"
        if expected and digest_of(file, found) != expected.partition("=")[2]:
            return "is not the file of its package"
    finally:
        os.close(file)
    return None


def wrong_compiled(path: str, source: str, marked: float) -> str | None:
    """Say why a compiled file is not of the source beside it, by its header, or came afterwards."""
    another = "was compiled from another source"
    try:
        state = os.stat(source)
        file = os.open(path, FOR_READING)
        try:
            header = os.read(file, 16)
            written = os.fstat(file).st_mtime
        finally:
            os.close(file)
    except OSError:
        return another
    flags, modified, size = (int.from_bytes(header[at : at + 4], "little") for at in (4, 8, 12))
    # Flags mean that it is told by a hash, or believed unasked.
    if (
        flags != 0
        or modified != int(state.st_mtime) & 0xFFFFFFFF
        or size != state.st_size & 0xFFFFFFFF
    ):
        return another
    return "was written after the environment was whole" if written > marked else None


def compared(entries: list[Entry]) -> list[tuple[str, str]]:
    """What is wrong with which file; in a process for each processor, which share no lock.

    Raises ValueError where one of them did not come to its end.
    """
    count = min(len(os.sched_getaffinity(0)), len(entries))
    answers = []
    for first in range(count):
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                wrong = [
                    (index, said)
                    for index in range(first, len(entries), count)
                    if (said := compare(entries[index])) is not None
                ]
                with os.fdopen(writing, "w") as told:
                    json.dump(wrong, told)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(writing)
        answers.append(reading)
    found = []
    for reading in answers:
        with os.fdopen(reading) as told:
            found += json.load(told)
        os.wait()
    return [(entries[index][0], said) for index, said in sorted(found)]


def opened_as(path: str, packages: str) -> str:
    """A path of a record as it is opened in the folder of the packages."""
    plain = os.path.normpath(path)
    if plain.startswith((".", "/")):
        plain = os.path.normpath(f"{packages}/{path}").removeprefix(f"{packages}/")
    return plain


def main() -> None:
    # What serves comes first, as where a checkpoint is hashed.
    os.nice(10)
    environment = Path(sys.argv[1]).resolve()
    (packages,) = environment.glob("lib/python*/site-packages")
    known, versions, entries = set(), {}, []
    if "--versions" in sys.argv:
        for folder in packages.glob("*.dist-info"):
            name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
            versions[name] = version
        print(json.dumps({"versions": versions}))
        return
    os.chdir(packages)
    for record in packages.glob("*.dist-info/RECORD"):
        name, _, version = record.parent.name.removesuffix(".dist-info").rpartition("-")
        versions[name] = version
        with open(record, newline="") as lines:
            for path, digest, size in csv.reader(lines):
                whole = opened_as(path, str(packages))
                known.add(whole)
                if not path.endswith(".pyc") and os.path.basename(path) not in INSTALLERS:
                    entries.append((whole, digest, size))
    wrong = compared(entries)
    try:
        marked = os.stat(environment / MARK).st_mtime
    except OSError:
        marked = float("inf")
    for where, _, names in os.walk("."):
        # A file of the folder itself is named without a folder, as in the records.
        folder = where[2:] and f"{where[2:]}/"
        is_cache = folder.endswith("__pycache__/")
        beside = folder.removesuffix("__pycache__/")
        for name in names:
            path = folder + name
            if is_cache and name.endswith(".pyc"):
                source = f"{beside}{name.partition('.')[0]}.py"
                if (said := wrong_compiled(path, source, marked)) is not None:
                    wrong.append((path, said))
            elif path not in known and name not in INSTALLERS:
                wrong.append((path, "is of no package"))
    print(
        json.dumps(
            {
                "versions": versions,
                "files": len(entries),
                "wrong": [f"{packages / path} {said}" for path, said in wrong[:SHOWN]],
                "more": max(0, len(wrong) - SHOWN),
            }
        )
    )


main()
