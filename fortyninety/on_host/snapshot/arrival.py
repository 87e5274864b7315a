"""Take a file in as it comes from outside: hashed while it is written, cut at its size.

What comes is written by this process alone, into a file that no other process can write to. So the
bytes that are hashed are the bytes that count.
"""

import os
import time

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.digest import BUFFER, Content, read_into
from fortyninety.on_host.snapshot.failures import Silent, WrongBytes
from fortyninety.on_host.snapshot.folder import write_all
from fortyninety.on_host.snapshot.places import ARRIVING, Places
from fortyninety.on_host.snapshot.verified import note_verified

# Bytes a second below which a source counts as silent.
SLOWEST = 1024


class Arrival:
    """A file on its way to this host, which goes on after what a cut fetch left of it."""

    def __init__(self, places: Places, file: File, where: str) -> None:
        self.file = file
        self.where = where
        self.resumed = False
        self._places = places
        self._name = f"{ARRIVING}/{file.path}"
        self._descriptor: int | None = None
        self._content = Content(file)

    def __enter__(self) -> "Arrival":
        make_parent(self._places, self._name)
        self._descriptor = self._places.incoming.open_own(self._name)
        if self._descriptor is None:
            self.restart()
        elif os.fstat(self._descriptor).st_size >= self.file.size:
            self.restart()  # Were it right, it would have been taken already.
        else:
            read_into(self._content, self._descriptor)
            self.resumed = self.size > 0
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def size(self) -> int:
        """How many bytes of it are here."""
        return self._content.size

    def write(self, piece: memoryview) -> None:
        """Take the next bytes. Raises WrongBytes, and writes none of them, if they are too many."""
        if self.size + len(piece) > self.file.size:
            self.forget()
            raise WrongBytes(
                f"{self.file.path} from {self.where} has more than {self.file.size} bytes; "
                f"expected {self.file.size} bytes"
            )
        assert self._descriptor is not None
        write_all(self._descriptor, piece)
        self._content.update(piece)

    def restart(self) -> None:
        """Begin anew: what is here of it counts no more."""
        self._close()
        self._descriptor = self._places.incoming.create(self._name)
        self._content = Content(self.file)
        self.resumed = False

    def accept(self) -> str:
        """Move it to the verified files, where it is right, and return its SHA-256.

        Raises WrongBytes where it is not; then nothing is left of it.
        """
        try:
            sha256 = self._content.check(self.where)
        except WrongBytes:
            self.forget()
            raise
        accept(self._places, self.file, self._name, sha256)
        return sha256

    def forget(self) -> None:
        """Remove what is here of it."""
        self._close()
        self._places.incoming.remove(self._name)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Pace:
    """Whether a source still sends: at least SLOWEST over every `patience` seconds."""

    def __init__(self, patience: float, where: str) -> None:
        self._patience = max(patience, 10.0)
        self._where = where
        self._since, self._bytes = time.monotonic(), 0

    def came(self, count: int) -> None:
        """Note that bytes came, or none. Raises Silent where they are too few for too long."""
        self._bytes += count
        seconds = time.monotonic() - self._since
        if seconds < self._patience:
            return
        if self._bytes < SLOWEST * seconds:
            raise Silent(f"{self._where} sent {self._bytes} bytes in {seconds:.0f} s")
        self._since, self._bytes = time.monotonic(), 0


def make_parent(places: Places, name: str) -> None:
    """Make the folder of `incoming` that a name is in."""
    with places.incoming.make(name.rpartition("/")[0]):
        pass


def accept(places: Places, file: File, arrived: str, sha256: str) -> None:
    """Move a verified file of `incoming` to where peers may read it."""
    folder = file.path.rpartition("/")[0]
    if folder:
        with places.partial.make(folder):
            pass
    places.incoming.rename(arrived, places.partial, file.path)
    note_verified(places, file, sha256)


def copy_in(descriptor: int, arrival: Arrival) -> None:
    """Take in the rest of an open file of this host. Raises WrongBytes where it is too long."""
    buffer = memoryview(bytearray(BUFFER))
    while count := os.preadv(descriptor, [buffer], arrival.size):
        arrival.write(buffer[:count])
