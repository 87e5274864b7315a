#!/usr/bin/env python3
"""A checkpoint at a pinned commit on this host: fetched, verified, handed on, published.

    snapshot verify /srv/models/NAME/COMMIT      hash every file again and say what is wrong

The other commands are a deploy's steps. Each reads one JSON object on standard input, so that no
secret is on a command line, and prints one:

    index     what the commit consists of, from the hub's own metadata
    inspect   hash what is here already, and refuse a disk that is too small for the rest
    fetch     bring files here from the hub, a mirror, a folder or a peer, and hash them
    publish   give the whole folder its name, by one rename
    serve     let peers read the verified files, for a while
    copy      keep a second copy on another disk

Below the model's folder, `.incoming-COMMIT` has what is on its way, `.partial-COMMIT` only files
whose every byte was hashed and is right, and `COMMIT` is the published snapshot. `fetch` from a hub
needs huggingface_hub; everything else needs Python and rsync alone.

Exit code 0: done. 1: this host cannot go on. 3: the source was cut off. 4: wrong bytes.
5: the source refuses, and will again.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = ".fortyninety-manifest"
# Left free beside the snapshot, in bytes: a disk that is full to the brim serves nobody.
FREE_MARGIN = 2 * 10**9
# Times that a file is fetched from one source before its digest counts as wrong there.
FETCH_ATTEMPTS = 2
# Seconds between attempts at a source that was cut off, until it has been silent for `patience`.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
BUFFER = 1 << 20
BOOT = Path("/proc/sys/kernel/random/boot_id")
# What a serving host runs for its peers, and what ends it even if nobody comes back to.
PEER_UNIT = "fortyninety-snapshot-peer"
PEER_FOLDER = Path("/run/fortyninety-snapshot-peer")
PEER_USER = "snapshot"


class Failure(Exception):
    """Why this cannot go on, in one line for the operator."""

    exit_code = 1


class Cut(Failure):
    """The source went away in the middle, or is not there: another try may go on from here."""

    exit_code = 3


class WrongBytes(Failure):
    """What the source sent is not what was asked for."""

    exit_code = 4


class SourceRefuses(Failure):
    """The source answers, and its answer is no: trying again changes nothing."""

    exit_code = 5


@dataclass(frozen=True)
class File:
    """A file of the commit: `blob` is its git object's name, where the hub gives no SHA-256."""

    path: str
    size: int
    sha256: str | None
    blob: str | None


@dataclass(frozen=True)
class Places:
    """Where things of one commit are below the model's folder."""

    model: Path
    revision: str

    @property
    def published(self) -> Path:
        return self.model / self.revision

    @property
    def partial(self) -> Path:
        return self.model / f".partial-{self.revision}"

    @property
    def incoming(self) -> Path:
        return self.model / f".incoming-{self.revision}"

    @property
    def verified(self) -> Path:
        return self.incoming / "verified"

    @property
    def lock(self) -> Path:
        return self.model / f".lock-{self.revision}"


# --- Hashing --------------------------------------------------------------------------------------


def digest(path: Path, *, still_written: Callable[[], bool] = lambda: False) -> str:
    """The file's SHA-256. One that is `still_written` at its end is read as it grows."""
    sha256 = hashlib.sha256()
    buffer = memoryview(bytearray(BUFFER))
    with path.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while True:
            growing = still_written()
            if count := stream.readinto(buffer):
                sha256.update(buffer[:count])
            elif growing:
                time.sleep(0.02)
            else:
                return sha256.hexdigest()


def blob_name(path: Path) -> str:
    """The name that git gives the content, by which a hub names the files it does not hash."""
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    blob.update(content)
    return blob.hexdigest()


def refuse_wrong(path: Path, file: File, source: str, sha256: str | None = None) -> str:
    """The SHA-256 of a file that is right. Raises WrongBytes with what was expected and found."""
    size = path.stat().st_size if path.is_file() else None
    if size != file.size:
        found = "is missing" if size is None else f"has {size} bytes"
        raise WrongBytes(f"{file.path} from {source} {found}; expected {file.size} bytes")
    sha256 = sha256 or digest(path)
    if file.sha256 is not None:
        if sha256 != file.sha256:
            raise WrongBytes(
                f"{file.path} from {source} has SHA-256 {sha256}; expected {file.sha256}"
            )
    elif (found := blob_name(path)) != file.blob:
        raise WrongBytes(f"{file.path} from {source} has git name {found}; expected {file.blob}")
    return sha256


def in_parallel(function: Callable[[Any], Any], files: list[Any]) -> list[Any]:
    """Apply `function` to files, one a core at a time, the largest first: none is left to last.

    hashlib lets go of the interpreter's lock, so threads are as fast as processes. The results are
    in the order of `files`.
    """
    largest_first = sorted(files, key=lambda file: file.size, reverse=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = {id(file): pool.submit(function, file) for file in largest_first}
        return [done[id(file)].result() for file in files]


def read_manifest(folder: Path) -> list[File]:
    """The files of a published snapshot. Raises Failure where there is no manifest to read."""
    if not (folder / MANIFEST).exists():
        raise Failure(f"no snapshot is published in {folder}")
    try:
        lines = (folder / MANIFEST).read_text().splitlines()
        split = [line.split("  ", 2) for line in lines]
        return [File(path, int(size), sha256, None) for sha256, size, path in split]
    except (OSError, ValueError) as error:
        raise Failure(f"{folder / MANIFEST} cannot be read: {error}") from error


def verify(folder: Path) -> dict[str, Any]:
    """Hash every file of a published snapshot again, and say what is not as its manifest has it.

    Changes nothing but the time of a manifest that is not kept to: then every file is newer, and
    the next deploy hashes them too and fetches what is wrong.
    """
    files = read_manifest(folder)
    began = time.monotonic()

    def check(file: File) -> str | None:
        path = folder / file.path
        try:
            refuse_wrong(path, file, "this disk")
        except WrongBytes as wrong:
            return str(wrong).replace(" from this disk", "")
        except OSError as error:  # A sector that cannot be read is a finding, not an end.
            return f"{file.path} cannot be read: {error.strerror}"
        return None

    wrong = [each for each in in_parallel(check, files) if each is not None]
    known = {file.path for file in files} | {MANIFEST}
    strays = sorted(name for name in names_below(folder) if name not in known)
    wrong += [f"{name} is in no manifest" for name in strays]
    seconds = time.monotonic() - began
    size = sum(file.size for file in files)
    if wrong:
        with contextlib.suppress(OSError):
            os.utime(folder / MANIFEST, (0, 0))
    return {"files": len(files), "bytes": size, "seconds": round(seconds, 3), "wrong": wrong}


def names_below(folder: Path) -> Iterator[str]:
    """The paths of all files below a folder, relative to it."""
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


# --- What was verified ----------------------------------------------------------------------------


def note_verified(places: Places, file: File, sha256: str) -> None:
    """Remember that a file of `.partial-COMMIT` was hashed, for the steps that follow."""
    state = (places.partial / file.path).stat()
    line = [file.path, state.st_size, state.st_mtime_ns, state.st_ino, sha256, boot_id()]
    with places.verified.open("a") as record:
        record.write(json.dumps(line) + "\n")


def noted(places: Places) -> dict[str, str]:
    """The SHA-256 of files that were verified since this boot and have not been touched since.

    What was verified before a crash may never have reached the disk: it is hashed again.
    """
    found: dict[str, str] = {}
    lines = places.verified.read_text().splitlines() if places.verified.exists() else []
    for line in lines:
        with contextlib.suppress(ValueError, OSError):  # cut in the middle of a line; gone
            path, size, changed, inode, sha256, boot = json.loads(line)
            state = (places.partial / path).stat()
            now = (state.st_size, state.st_mtime_ns, state.st_ino, boot_id())
            if now == (size, changed, inode, boot):
                found[path] = sha256
    return found


def boot_id() -> str:
    """What is different after every boot."""
    return BOOT.read_text().strip()


def accept(places: Places, file: File, arrived: Path, sha256: str) -> None:
    """Move a verified file to where peers may read it."""
    target = places.partial / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    arrived.chmod(0o644)
    arrived.rename(target)
    note_verified(places, file, sha256)


# --- What is here already -------------------------------------------------------------------------


def inspect(places: Places, files: list[File], second_copy: Path | None) -> dict[str, Any]:
    """Put everything right that is on this host into `.partial-COMMIT`, each byte of it hashed.

    It may come from a fetch that was cut, from the published snapshot where only a part of it is
    damaged, from another commit with the same file, and from the second copy. Raises Failure where
    what is missing would not fit onto the disk.

    The answer also says what has begun to arrive from outside, in bytes: this host goes on with it.
    """
    wanted = {file.path for file in files}
    for name in [each for each in names_below(places.partial) if each not in wanted]:
        (places.partial / name).unlink()  # nothing is published that the commit does not have
    known = noted(places)
    siblings = _same_files_of_other_commits(places)

    def find(file: File) -> str | None:
        if file.path in known:
            return known[file.path]
        here = places.partial / file.path
        inside = [here, places.published / file.path, *siblings.get((file.sha256, file.size), [])]
        if file.sha256 is None:
            inside += [commit / file.path for commit in _other_commits(places)]
        on_their_way = [places.incoming / kind / file.path for kind in ("hub", "peer", "mirror")]
        outside = [second_copy / file.path] if second_copy is not None else []
        for candidate in (*inside, *on_their_way, *outside):
            sha256 = _right(candidate, file)
            if sha256 is None:
                continue
            if candidate != here:
                here.parent.mkdir(parents=True, exist_ok=True)
                here.unlink(missing_ok=True)
            if candidate in on_their_way:
                candidate.rename(here)
            elif candidate in outside:
                shutil.copyfile(candidate, here)
                sha256 = _right(here, file)
            elif candidate != here:
                os.link(candidate, here)
            if sha256 is not None:
                here.chmod(0o644)
                note_verified(places, file, sha256)
                return sha256
        here.unlink(missing_ok=True)
        return None

    digests = in_parallel(find, files)
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


def _begun(places: Places, file: File) -> int:
    """How many bytes of a file a cut fetch from the hub or a mirror left here."""
    # The hub's client calls it after the content, huggingface_hub/_local_folder.py (1.17).
    names = [f"*.{content}.incomplete" for content in (file.sha256, file.blob) if content]
    arrived = [places.incoming / "mirror" / file.path]
    for name in names:
        arrived += (places.incoming / "hub").rglob(name)
    return max((path.stat().st_size for path in arrived if path.is_file()), default=0)


def _right(path: Path, file: File) -> str | None:
    if not path.is_file() or path.stat().st_size != file.size:
        return None
    try:
        return refuse_wrong(path, file, "here")
    except (WrongBytes, OSError):
        return None


def _same_files_of_other_commits(places: Places) -> dict[tuple[str | None, int], list[Path]]:
    found: dict[tuple[str | None, int], list[Path]] = {}
    for commit in _other_commits(places):
        with contextlib.suppress(Failure):
            for file in read_manifest(commit):
                found.setdefault((file.sha256, file.size), []).append(commit / file.path)
    return found


def _other_commits(places: Places) -> list[Path]:
    commits = [manifest.parent for manifest in places.model.glob(f"[!.]*/{MANIFEST}")]
    return [each for each in commits if not each.is_symlink() and each != places.published]


def refuse_full_disk(places: Places, files: list[File], present: list[bool]) -> None:
    """Raise Failure where what is still to be fetched would not fit, before the first byte."""
    missing = sum(file.size for file, is_here in zip(files, present, strict=True) if not is_here)
    if not missing:
        return
    arrived = (places.incoming / name for name in names_below(places.incoming))
    begun = sum(path.stat().st_size for path in arrived)
    free = shutil.disk_usage(places.model).free
    needed = max(0, missing - begun) + FREE_MARGIN
    if free < needed:
        raise Failure(
            f"{places.model} has {free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed "
            f"(still to fetch {missing / 1e9:.1f} GB, of which here {begun / 1e9:.1f} GB, "
            f"margin {FREE_MARGIN / 1e9:.1f} GB)"
        )


# --- Sources --------------------------------------------------------------------------------------


def index(source: dict[str, Any]) -> dict[str, Any]:
    """What the commit consists of: the hub's metadata, or the manifest of a mirror or a folder."""
    place = source.get("source")
    if place is not None:
        manifest = _manifest_of(place)
        if manifest is not None:
            return {"files": [vars(file) for file in manifest]}
    with _hub_errors(source):
        from huggingface_hub import HfApi  # noqa: PLC0415

        hub = HfApi(endpoint=source.get("endpoint"), token=source.get("token") or False)
        info = _retried(
            lambda: hub.model_info(
                source["repository"], revision=source["revision"], files_metadata=True
            ),
            source,
            lambda: 0,
        )
    if info.sha != source["revision"]:
        raise SourceRefuses(f"the hub answers commit {info.sha}; expected {source['revision']}")
    return {
        "files": [
            vars(
                File(
                    each.rfilename,
                    each.size,
                    each.lfs.sha256 if each.lfs is not None else None,
                    each.blob_id,
                )
            )
            for each in info.siblings or []
        ]
    }


def _manifest_of(place: str) -> list[File] | None:
    """The manifest of a mirror or a folder, where it has one, as a published snapshot has."""
    if place.startswith("/"):
        return read_manifest(Path(place)) if (Path(place) / MANIFEST).is_file() else None
    import httpx  # noqa: PLC0415

    try:
        answer = httpx.get(f"{place}/{MANIFEST}", timeout=10, follow_redirects=True)
    except httpx.HTTPError as error:
        raise Cut(f"{place} is out of reach: {error}") from error
    if answer.status_code != 200:
        return None
    split = [line.split("  ", 2) for line in answer.text.splitlines()]
    return [File(path, int(size), sha256, None) for sha256, size, path in split]


def fetch(places: Places, files: list[File], source: dict[str, Any]) -> dict[str, Any]:
    """Bring files here from one source, and hash each before it counts.

    Raises Cut, WrongBytes or SourceRefuses; files that were right before that stay, and a cut one
    goes on from where it was the next time.
    """
    verified = {}
    for file in files:
        if source["kind"] == "peer":
            sha256 = _from_peer(places, file, source)
        else:
            sha256 = _with_second_try(places, file, source)
        verified[file.path] = sha256
    return {"verified": verified}


def _with_second_try(places: Places, file: File, source: dict[str, Any]) -> str:
    """A file whose digest is wrong is fetched again, alone and from its beginning."""
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        if source["kind"] == "hub":
            arrived, where = _from_hub(places, file, source, again=attempt > 1), "the hub"
        else:
            arrived, where = _from_mirror(places, file, source), source["source"]
        try:
            sha256 = refuse_wrong(arrived, file, where)
        except WrongBytes as wrong:
            arrived.unlink(missing_ok=True)
            if attempt == FETCH_ATTEMPTS:
                raise WrongBytes(f"{wrong} ({attempt} times)") from wrong
        else:
            accept(places, file, arrived, sha256)
            return sha256
    raise AssertionError("unreachable")


def _from_hub(places: Places, file: File, source: dict[str, Any], *, again: bool) -> Path:
    with _hub_errors(source):
        from huggingface_hub import constants, hf_hub_download  # noqa: PLC0415

        # What a cut loses at most; the client's own is ten times as much.
        constants.DOWNLOAD_CHUNK_SIZE = BUFFER
        folder = places.incoming / "hub"
        _retried(
            lambda: hf_hub_download(
                source["repository"],
                file.path,
                revision=source["revision"],
                local_dir=folder,
                endpoint=source.get("endpoint"),
                token=source.get("token") or False,
                force_download=again,
            ),
            source,
            lambda: sum((folder / name).stat().st_size for name in names_below(folder)),
        )
        return folder / file.path


def _from_mirror(places: Places, file: File, source: dict[str, Any]) -> Path:
    arrived = places.incoming / "mirror" / file.path
    arrived.parent.mkdir(parents=True, exist_ok=True)
    place = source["source"]
    if place.startswith("/"):
        try:
            shutil.copyfile(f"{place}/{file.path}", arrived)
        except FileNotFoundError as error:
            raise SourceRefuses(f"{place}/{file.path} is not there") from error
        return arrived
    with _hub_errors(source):
        # The hub client's own way of getting an address: it resumes, and it is there already.
        from huggingface_hub import constants  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415

        constants.DOWNLOAD_CHUNK_SIZE = BUFFER

        def get() -> None:
            with arrived.open("ab") as stream:
                have = stream.tell()
                if have < file.size:
                    http_get(f"{place}/{file.path}", stream, resume_size=have)

        _retried(get, source, lambda: arrived.stat().st_size if arrived.exists() else 0)
    return arrived


def _from_peer(places: Places, file: File, source: dict[str, Any]) -> str:
    """One file from a peer's rsync daemon, hashed as it grows so that the link never waits."""
    arrived = places.incoming / "peer" / file.path
    arrived.parent.mkdir(parents=True, exist_ok=True)
    where = f"peer {source['name']}"
    address = f"[{source['address']}]" if ":" in source["address"] else source["address"]
    arrived.touch()
    rsync = subprocess.Popen(
        [
            # Appended to what a cut transfer left; whether that is right the digest says.
            *("rsync", "--inplace", "--append", "--no-motd", "--timeout=60", "--contimeout=10"),
            f"rsync://{PEER_USER}@{address}:{source['port']}/snapshot/{file.path}",
            str(arrived),
        ],
        env={**os.environ, "RSYNC_PASSWORD": source["secret"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sha256 = digest(arrived, still_written=lambda: rsync.poll() is None)
    finally:
        rsync.terminate()
        errors = rsync.communicate()[1]
    if rsync.returncode != 0:
        lines = errors.strip().splitlines() or [f"rsync ended with {rsync.returncode}"]
        if rsync.returncode == 11:  # file I/O: this disk, not the peer
            raise Failure(f"{arrived} cannot be written: {lines[0]}")
        raise Cut(f"{file.path} from {where}: {lines[0]}")
    try:
        refuse_wrong(arrived, file, where, sha256)
    except WrongBytes:
        arrived.unlink()
        raise
    accept(places, file, arrived, sha256)
    return sha256


def _retried(function: Callable[[], Any], source: dict[str, Any], size: Callable[[], int]) -> Any:
    """Try until it succeeds, as long as bytes come or the last ones are not `patience` seconds old.

    `size` says how much there is; what is cut goes on from there. Refusals are not tried again.
    """
    import httpx  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    wait, have, since = FIRST_WAIT, size(), time.monotonic()
    while True:
        try:
            return function()
        except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError) as error:
            if _status(error) not in (None, 408, 429, 500, 502, 503, 504):
                raise
            if size() != have:
                wait, have, since = FIRST_WAIT, size(), time.monotonic()
            if time.monotonic() + wait - since > source.get("patience", 60):
                raise
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of the client, or None where there was no answer."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if response is not None:
            return int(response.status_code)
        seen = seen.__cause__
    return None


@contextlib.contextmanager
def _hub_errors(source: dict[str, Any]) -> Iterator[None]:
    """Turn the client's errors into one line each that says what to do."""
    # Before the client is imported, which reads them then.
    os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import httpx  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    hub = source.get("source") or source.get("endpoint") or "the public hub"
    repository = source.get("repository")
    token = source.get("token")
    try:
        yield
    except errors.GatedRepoError as error:
        raise SourceRefuses(
            f"the licence of {repository} is not accepted"
            + (
                " by the token's account: accept it on the repository's page"
                if token
                else ", or there is no token: accept it on the repository's page and set hub_token"
            )
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SourceRefuses(f"{hub} has no commit {source['revision']} of {repository}") from error
    except errors.RepositoryNotFoundError as error:
        raise SourceRefuses(
            f"{hub} has no repository {repository}"
            + (", or the token may not read it" if token else ", or it needs a token (hub_token)")
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, httpx.HTTPError) as error:
        status = _status(error)
        if status == 401:
            raise SourceRefuses(f"{hub} refuses the token: wrong or expired (hub_token)") from error
        if status == 403:
            raise SourceRefuses(f"{hub} forbids {repository} to this token (hub_token)") from error
        if status == 404:
            raise SourceRefuses(f"{hub} has no such file of {repository}") from error
        if status == 429:
            raise Cut(f"{hub} limits the rate of requests: try again later") from error
        if status is not None:
            raise Cut(f"{hub} answers with HTTP status {status}") from error
        reason = " ".join(str(error.__cause__ or error).split())
        raise Cut(f"{hub} is down or out of reach: {reason}") from error


# --- Publishing -----------------------------------------------------------------------------------


def publish(places: Places, files: list[File]) -> dict[str, Any]:
    """Give the folder with every file its name, at once; what had it before is removed.

    Raises WrongBytes where a file is missing or was touched since it was hashed.
    """
    known = noted(places)

    def check(file: File) -> str:
        if file.path in known and (file.sha256 in (None, known[file.path])):
            return known[file.path]
        return refuse_wrong(places.partial / file.path, file, "this host")

    digests = in_parallel(check, files)
    lines = sorted(
        (file.path, f"{sha256}  {file.size}  {file.path}\n")
        for file, sha256 in zip(files, digests, strict=True)
    )
    manifest = places.partial / MANIFEST
    manifest.write_text("".join(line for _, line in lines))
    for path in [places.partial, *places.partial.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    synchronise(places.partial)
    # The last of all to change: a file that is newer was written to after it was published.
    os.utime(manifest)
    if places.published.exists():
        exchange(places.partial, places.published)
        shutil.rmtree(places.partial)
    else:
        places.partial.rename(places.published)
    synchronise(places.model, deep=False)
    shutil.rmtree(places.incoming)
    places.lock.unlink(missing_ok=True)
    return {"bytes": sum(file.size for file in files)}


def synchronise(folder: Path, *, deep: bool = True) -> None:
    """Make what is in the folder survive a power cut before its name says that it is whole."""
    for path in [*(folder.rglob("*") if deep else ()), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def exchange(one: Path, other: Path) -> None:
    """Swap two folders' names at once, so that a reader finds a whole one at every moment."""
    library = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, renameat2(2)
    if library.renameat2(here, bytes(one), here, bytes(other), swap) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))


def copy(published: Path, second_copy: Path) -> dict[str, Any]:
    """Keep the published snapshot on another disk too, hashed there, by the same one rename."""
    places = Places(second_copy.parent, second_copy.name)
    files = read_manifest(published)
    make_folders(places)
    present = inspect(places, files, None)["verified"]
    for file in files:
        if file.path in present:
            continue
        arrived = places.incoming / "mirror" / file.path
        arrived.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(published / file.path, arrived)
        accept(places, file, arrived, refuse_wrong(arrived, file, str(published)))
    return publish(places, files)


# --- Serving peers --------------------------------------------------------------------------------


def daemon_configuration(folder: Path, request: dict[str, Any]) -> str:
    """rsync's configuration: one folder, read only, for the members of the fleet with the secret.

    `folder` has the secret and, as `export`, the files.
    """
    addresses = {str(entry[4][0]) for member in request["members"] for entry in _addresses(member)}
    return f"""\
port = {request["port"]}
pid file = {folder}/pid
lock file = {folder}/lock
use chroot = yes
uid = {request.get("user", "nobody")}
gid = {request.get("group", "nogroup")}
[snapshot]
path = {folder}/export
read only = yes
list = no
max connections = {2 + len(addresses)}
auth users = {PEER_USER}
secrets file = {folder}/secret
hosts allow = {" ".join(sorted(addresses))}
hosts deny = *
"""


def _addresses(member: str) -> list[Any]:
    try:
        return socket.getaddrinfo(member, None, type=socket.SOCK_STREAM)
    except OSError:
        return []


def serve(places: Places, request: dict[str, Any]) -> dict[str, Any]:
    """Let the fleet's members read the verified files, until `stop-serving`, or `lifetime` seconds.

    A transient unit of systemd, and a timer that ends it: a controller that dies leaves no port
    open for longer. Serving again renews it under a new secret.
    """
    stop_serving()
    # The verified files of a host that is being put right are not in what it has published: that
    # may be damaged, and is removed in the middle. Of a whole one the other is a leftover.
    whole = request["whole"] or not places.partial.exists()
    source = places.published if whole else places.partial
    PEER_FOLDER.mkdir(mode=0o700)
    (PEER_FOLDER / "export").mkdir()
    for name, text in (
        ("secret", f"{PEER_USER}:{request['secret']}\n"),
        ("rsyncd.conf", daemon_configuration(PEER_FOLDER, request)),
    ):
        with os.fdopen(os.open(PEER_FOLDER / name, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
    properties = (
        # By the folder itself and not by its name: it goes on when the name changes.
        f"BindReadOnlyPaths={source}:{PEER_FOLDER}/export",
        f"ReadWritePaths={PEER_FOLDER}",
        # By name: below `export` are the verified files.
        f"ExecStopPost=/bin/rm -f {PEER_FOLDER}/secret {PEER_FOLDER}/rsyncd.conf",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_SYS_CHROOT CAP_SETUID CAP_SETGID CAP_DAC_READ_SEARCH",
    )
    rate = [f"--bwlimit={request['rate']}"] if request.get("rate") else []
    _systemd(
        *("systemd-run", "--quiet", "--collect", f"--unit={PEER_UNIT}"),
        *(f"--property={each}" for each in properties),
        *("rsync", "--daemon", "--no-detach", f"--config={PEER_FOLDER}/rsyncd.conf", *rate),
    )
    _systemd(
        *("systemd-run", "--quiet", "--collect", f"--unit={PEER_UNIT}-end"),
        f"--on-active={request['lifetime']}",
        *("systemctl", "stop", f"{PEER_UNIT}.service"),
    )
    _wait_for_port(request["port"])
    return {}


def keep_serving() -> dict[str, Any]:
    """Put the end off by another `lifetime`."""
    done = subprocess.run(
        ["systemctl", "restart", f"{PEER_UNIT}-end.timer"], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise Failure("it serves its peers no longer: its time was over")
    return {}


def stop_serving() -> dict[str, Any]:
    """Close the port and forget the secret."""
    for unit in (f"{PEER_UNIT}-end.timer", f"{PEER_UNIT}.service"):
        subprocess.run(["systemctl", "stop", "--quiet", unit], capture_output=True, check=False)
    # Nothing of this may ever reach what `export` showed to the daemon: no removal in depth.
    for name in ("secret", "rsyncd.conf", "pid", "lock"):
        (PEER_FOLDER / name).unlink(missing_ok=True)
    for folder in (PEER_FOLDER / "export", PEER_FOLDER):
        if folder.exists():
            folder.rmdir()
    return {}


def _systemd(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        stop_serving()
        raise Failure(f"cannot serve peers: {' '.join(done.stderr.split())}")


def _wait_for_port(port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            unit = f"{PEER_UNIT}.service"
            active = subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False)
            if active.returncode != 0 or time.monotonic() > deadline:
                journal = ["journalctl", f"--unit={unit}", "--lines=3", "--output=cat"]
                said = subprocess.run(journal, capture_output=True, text=True, check=False).stdout
                stop_serving()
                raise Failure(
                    f"cannot serve peers, nothing listens on port {port}: {' '.join(said.split())}"
                ) from error
            time.sleep(0.02)
        else:
            return


# --- The command line -----------------------------------------------------------------------------


def make_folders(places: Places) -> None:
    """The folders that every step but `verify` works in, readable for a serving daemon."""
    os.umask(0o022)
    for folder in (places.partial, places.incoming):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def alone(places: Places) -> Iterator[None]:
    """Hold the commit's lock; a step that a dead controller left behind is ended first."""
    with places.lock.open("a+") as lock:
        for patience in range(200):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                if patience % 50 == 0 and (left := lock.read().strip()).isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(left), signal.SIGTERM)
                time.sleep(0.05)
        else:
            raise Failure(f"{places.lock} is held by another process that does not end")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def step(command: str, request: dict[str, Any]) -> dict[str, Any]:
    """One step of a deploy. Raises Failure."""
    elsewhere: dict[str, Callable[[], dict[str, Any]]] = {
        "index": lambda: index(request["source"]),
        "copy": lambda: copy(Path(request["published"]), Path(request["second_copy"])),
        "serve": lambda: serve(places_of(request), request),
        "keep-serving": keep_serving,
        "stop-serving": stop_serving,
    }
    if command in elsewhere:
        return elsewhere[command]()
    places = places_of(request)
    files = [File(**each) for each in request["files"]]
    make_folders(places)
    with alone(places):
        if command == "inspect":
            second_copy = request.get("second_copy")
            return inspect(places, files, Path(second_copy) if second_copy else None)
        if command == "fetch":
            return fetch(places, files, request["source"])
        return publish(places, files)


def places_of(request: dict[str, Any]) -> Places:
    """Where the request's commit is."""
    return Places(Path(request["directory"]), request["revision"])


STEPS = ("index", "inspect", "fetch", "publish", "copy", "serve", "keep-serving", "stop-serving")


def main() -> int:
    """The command line. See the module's own text for the exit codes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=(*STEPS, "verify"))
    parser.add_argument("folder", nargs="?", type=Path, help="for verify: the published snapshot")
    options = parser.parse_args()
    # Ended by the next run, or by hand: what is running below ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        if options.command == "verify":
            if options.folder is None:
                parser.error("verify needs the folder of a published snapshot")
            result = verify(options.folder)
            print(json.dumps(result))
            return 1 if result["wrong"] else 0
        print(json.dumps(step(options.command, json.load(sys.stdin))))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    except OSError as error:
        print(f"this host: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
