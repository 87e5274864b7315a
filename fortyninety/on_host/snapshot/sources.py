"""Take files in from where they come from: a hub, a mirror, a folder of this host, or a peer."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.arrival import Arrival, copy_in
from fortyninety.on_host.snapshot.failures import Failure, SourceRefuses, WrongBytes
from fortyninety.on_host.snapshot.http_source import Http
from fortyninety.on_host.snapshot.peer import Peer
from fortyninety.on_host.snapshot.places import Places
from fortyninety.on_host.snapshot.processes import Account


class SourceOfFiles(Protocol):
    """Where files come from. `where` is what messages call it."""

    where: str
    # Times that a file is fetched before its digest counts as wrong there.
    attempts: int

    def receive(self, arrival: Arrival) -> None:
        """Take in what is still lacking of a file. Raises Cut, WrongBytes, SourceRefuses."""


@contextlib.contextmanager
def source_of(
    places: Places, source: dict[str, Any], account: Account | None
) -> Iterator[SourceOfFiles]:
    """The source that a request names. Raises Failure where it is not one."""
    kind, place = source.get("kind"), source.get("source")
    if kind == "peer":
        yield Peer(places, source, account)
    elif kind == "mirror" and isinstance(place, str) and place.startswith("/"):
        yield LocalFolder(place)
    elif kind in ("hub", "mirror"):
        with contextlib.closing(Http(source, account)) as http:
            yield http
    else:
        raise Failure(f"{kind!a} is no kind of source")


class LocalFolder:
    """A folder of this host, maybe on a disk that goes from box to box."""

    attempts = 2

    def __init__(self, place: str) -> None:
        self.where = place

    def receive(self, arrival: Arrival) -> None:
        """Copy the file."""
        path = Path(self.where) / arrival.file.path
        try:
            # Links are followed: this is the operator's own folder. A pipe is not waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceRefuses(f"{path} is not there") from error
        except OSError as error:
            raise SourceRefuses(f"{path} cannot be read: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SourceRefuses(f"{path} is not a file")
            copy_in(descriptor, arrival)
        finally:
            os.close(descriptor)


def receive(source: SourceOfFiles, places: Places, file: File) -> str:
    """Bring one file here and return its SHA-256.

    One whose digest is wrong is fetched again, alone and from its beginning; so is one that went
    on after what another source may have left.
    """
    attempt = 0
    while True:
        with Arrival(places, file, source.where) as arrival:
            resumed = arrival.resumed
            try:
                source.receive(arrival)
                return arrival.accept()
            except WrongBytes as wrong:
                attempt += not resumed
                if attempt == source.attempts:
                    times = f" ({attempt} times)" if attempt > 1 else ""
                    raise WrongBytes(f"{wrong}{times}") from wrong
