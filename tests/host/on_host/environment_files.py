"""A Python environment against its packages' own records: what is missing, other, or nobody's.

Every file is compared with the SHA-256 in the RECORD of the package that it is of. A compiled file
has none; it must say that it was made from the source that lies beside it, and be older than the
mark that the environment was given when it was whole. With `--versions` no file is looked at but
the packages' names.
"""

import base64
import csv
import hashlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Written by who installs, and not by a package: uv's and pip's own marks.
INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
SHOWN = 20
# Written last, when everything was compiled.
MARK = ".fortyninety-complete"


# What a thread reads into: bytes taken anew for each of 30,000 files cost as much as hashing them.
BUFFERS = threading.local()
# Opening a pipe that lies in a file's place must not wait for who writes into it.
FOR_READING = os.O_RDONLY | os.O_NONBLOCK


def digest_of(file: int) -> str:
    if not hasattr(BUFFERS, "bytes"):
        BUFFERS.bytes = memoryview(bytearray(256 * 1024))
    digest = hashlib.sha256()
    while count := os.readv(file, [BUFFERS.bytes]):
        digest.update(BUFFERS.bytes[:count])
    return base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")


def compare(entry: tuple[str, str, str]) -> str | None:
    path, expected, size = entry
    try:
        file = os.open(path, FOR_READING)
    except OSError:
        return f"{path} is missing"
    try:
        found = os.fstat(file).st_size
        if size and found != int(size):
            return f"{path} has {found} bytes, its package says {size}"
        if expected and digest_of(file) != expected.partition("=")[2]:
            return f"{path} is not the file of its package"
    finally:
        os.close(file)
    return None


def wrong_compiled(path: str, marked: float) -> str | None:
    """Say why a compiled file is not of the source beside it, by its header, or came afterwards."""
    folder, name = os.path.split(path)
    source = os.path.join(os.path.dirname(folder), name.split(".")[0] + ".py")
    another = f"{path} was compiled from another source"
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
    return f"{path} was written after the environment was whole" if written > marked else None


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
    for record in packages.glob("*.dist-info/RECORD"):
        name, _, version = record.parent.name.removesuffix(".dist-info").rpartition("-")
        versions[name] = version
        with open(record, newline="") as lines:
            for path, digest, size in csv.reader(lines):
                whole = os.path.normpath(f"{packages}/{path}")
                known.add(whole)
                if not path.endswith(".pyc") and os.path.basename(path) not in INSTALLERS:
                    entries.append((whole, digest, size))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        wrong = [said for said in pool.map(compare, entries, chunksize=200) if said]
    try:
        marked = os.stat(environment / MARK).st_mtime
    except OSError:
        marked = float("inf")
    for where, _, names in os.walk(packages):
        for name in names:
            path = os.path.join(where, name)
            if name.endswith(".pyc") and os.path.basename(where) == "__pycache__":
                if (said := wrong_compiled(path, marked)) is not None:
                    wrong.append(said)
            elif path not in known and name not in INSTALLERS:
                wrong.append(f"{path} is of no package")
    print(
        json.dumps(
            {
                "versions": versions,
                "files": len(entries),
                "wrong": wrong[:SHOWN],
                "more": max(0, len(wrong) - SHOWN),
            }
        )
    )


main()
