#!/usr/bin/env python3
"""Bring a checkpoint at a pinned commit onto this host: fetched, verified, published by a rename.

Files go to `<models>/.partial-<commit>`, where a cut fetch is resumed from. Every file's digest is
compared with the hub's own metadata for the commit; only a folder in which every file is right is
renamed to `<models>/<commit>`. Needs huggingface_hub; the hub is HF_ENDPOINT, or the public one.

    fetch-snapshot --repository ORGANISATION/NAME --revision COMMIT --directory /srv/models/NAME
"""

import argparse
import concurrent.futures
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

MANIFEST = ".fortyninety-manifest"
# Left free beside the snapshot, in bytes: a disk that is full to the brim serves nobody.
FREE_MARGIN = 2 * 10**9
# Times that a file is fetched before its digest counts as wrong at the source.
FETCH_ATTEMPTS = 2
CHUNK = 1 << 20
HASHING_THREADS = 4


class Failure(Exception):
    """Why there is no snapshot, in one line for the operator."""


def digests(path: Path, size: int) -> tuple[str, str]:
    """A file's SHA-256, and its git blob id, by which a hub names the files it does not hash."""
    sha256 = hashlib.sha256()
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
            blob.update(chunk)
    return sha256.hexdigest(), blob.hexdigest()


def mismatch(path: Path, entry: Any) -> tuple[str | None, str | None]:
    """What is wrong with a fetched file, or None; and its SHA-256 where it could be read."""
    if not path.is_file():
        return "is missing", None
    size = path.stat().st_size
    if size != entry.size:
        return f"has {size} bytes; the hub says {entry.size}", None
    sha256, blob = digests(path, size)
    expected, got = (entry.lfs.sha256, sha256) if entry.lfs is not None else (entry.blob_id, blob)
    if got != expected:
        return f"has digest {got}; the hub says {expected}", None
    return None, sha256


def refuse_full_disk(directory: Path, entries: list[Any], partial: Path) -> None:
    """Raise Failure where what is still to be fetched would not fit, before the first byte."""
    present = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
    total = sum(entry.size for entry in entries)
    free = shutil.disk_usage(directory).free
    needed = max(0, total - present) + FREE_MARGIN
    if free < needed:
        raise Failure(
            f"{directory} has {free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed "
            f"(snapshot {total / 1e9:.1f} GB, here already {present / 1e9:.1f} GB, "
            f"margin {FREE_MARGIN / 1e9:.1f} GB)"
        )


def fetch_and_verify(
    options: argparse.Namespace, partial: Path, entries: list[Any]
) -> list[tuple[str, int, str]]:
    """Every file of the commit, right; a list of (SHA-256, size, path)."""
    wanted = entries
    wrong: list[tuple[Any, str]] = []
    verified: dict[str, tuple[str, int, str]] = {}
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        for entry in wanted:
            hf_hub_download(
                options.repository,
                entry.rfilename,
                revision=options.revision,
                local_dir=partial,
                force_download=attempt > 1,
            )
        with concurrent.futures.ThreadPoolExecutor(HASHING_THREADS) as pool:
            checks = pool.map(lambda entry: mismatch(partial / entry.rfilename, entry), wanted)
            wrong = []
            for entry, (problem, sha256) in zip(wanted, checks, strict=True):
                if problem is not None:
                    wrong.append((entry, problem))
                elif sha256 is not None:
                    verified[entry.rfilename] = (sha256, entry.size, entry.rfilename)
        if not wrong:
            return [verified[name] for name in sorted(verified)]
        wanted = [entry for entry, _ in wrong]
    raise Failure("; ".join(f"{entry.rfilename} {problem}" for entry, problem in wrong))


def synchronise(folder: Path) -> None:
    """Make what is in the folder survive a power cut before its name says that it is whole."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def publish(
    directory: Path, partial: Path, revision: str, files: list[tuple[str, int, str]]
) -> None:
    """Write the manifest and give the whole folder its name, by one rename."""
    # The client's own notes on what it fetched are of no use to a reader.
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    manifest = "".join(f"{sha256}  {size}  {path}\n" for sha256, size, path in files)
    (partial / MANIFEST).write_text(manifest)
    for path in [partial, *partial.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    synchronise(partial)
    published = directory / revision
    if published.exists():  # damaged: the survey would not have asked for it otherwise
        replaced = directory / f".replaced-{revision}"
        shutil.rmtree(replaced, ignore_errors=True)
        published.rename(replaced)
    partial.rename(published)
    shutil.rmtree(directory / f".replaced-{revision}", ignore_errors=True)


def run(options: argparse.Namespace) -> int:
    """Fetch, verify and publish; the snapshot's bytes. Raises Failure."""
    directory = Path(options.directory)
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f".partial-{options.revision}"
    partial.mkdir(exist_ok=True)
    try:
        info = HfApi().model_info(
            options.repository, revision=options.revision, files_metadata=True
        )
    except RepositoryNotFoundError as error:
        raise Failure(
            f"the hub has no repository {options.repository}, or it needs a token"
        ) from error
    except RevisionNotFoundError as error:
        raise Failure(f"the hub has no commit {options.revision} of it") from error
    if info.sha != options.revision:
        raise Failure(f"the hub answers commit {info.sha}; expected {options.revision}")
    entries = info.siblings or []
    names = {entry.rfilename for entry in entries}
    for path in [each for each in partial.rglob("*") if each.is_file()]:
        relative = path.relative_to(partial)
        if relative.parts[0] != ".cache" and str(relative) not in names:
            path.unlink()  # nothing is published that the hub does not list
    refuse_full_disk(directory, entries, partial)
    files = fetch_and_verify(options, partial, entries)
    publish(directory, partial, options.revision, files)
    return sum(size for _, size, _ in files)


def main() -> int:
    """The command line. Exit code 0 with a published snapshot, 1 without one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repository", required=True)
    parser.add_argument("--revision", required=True, help="a full commit hash")
    parser.add_argument("--directory", required=True, help="where the model's commits go")
    options = parser.parse_args()
    try:
        size = run(options)
    except Failure as failure:
        print(f"{options.repository}: {failure}", file=sys.stderr)
        return 1
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        cut = f"the fetch was cut ({reason}); run this again to go on from here"
        print(f"{options.repository}: {cut}", file=sys.stderr)
        return 1
    print(f"published {options.revision}: {size / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
