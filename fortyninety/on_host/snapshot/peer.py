"""Read files from a member of the fleet, by its rsync daemon."""

import contextlib
import ctypes
import os
import re
import time
from typing import Any

from fortyninety.on_host.snapshot.arrival import Arrival, Pace
from fortyninety.on_host.snapshot.digest import BUFFER
from fortyninety.on_host.snapshot.failures import Cut, Failure, one_line
from fortyninety.on_host.snapshot.places import Places
from fortyninety.on_host.snapshot.present import free_bytes
from fortyninety.on_host.snapshot.processes import Account, Process, started, without_rights
from fortyninety.on_host.snapshot.serve import PEER_USER

# What a process may write beyond the file that it is to bring, in bytes.
SPARE = 1 << 20
# Free bytes below which it is the disk that a transfer ends at.
FULL_DISK = 16 << 20
# How much of what was copied from a peer's file is kept there, in bytes.
KEPT = 16 << 20
CONTENT = "content"
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,200}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,254}")


class Peer:
    """A member of the fleet, by its rsync daemon.

    rsync runs without rights and may write to one file alone, which this process copies from as it
    grows: what is hashed is this process's own copy. What was copied is punched out of the other.
    """

    attempts = 1

    def __init__(self, places: Places, source: dict[str, Any], account: Account | None) -> None:
        name, address, port = source.get("name"), source.get("address"), source.get("port")
        secret = source.get("secret")
        if not isinstance(address, str) or not _HOST.fullmatch(address):
            raise Failure(f"{address!a} is no address of a peer")
        if type(port) is not int or not 0 < port < 65536:
            raise Failure(f"{port!a} is no port of a peer")
        if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
            raise Failure("the secret of a peer is not one")
        self.where = f"peer {one_line(str(name))}"
        address = f"[{address}]" if ":" in address else address
        self._address = f"rsync://{PEER_USER}@{address}:{port}/snapshot/"
        self._secret = secret
        self._places = places
        self._account = account

    def receive(self, arrival: Arrival) -> None:
        """Take the rest in."""
        self._places.incoming.remove("peer")
        try:
            with self._places.incoming.make("peer") as folder:
                # The folder stays this process's own: nothing but the file can be written to.
                descriptor = folder.create(CONTENT, 0o600)
                try:
                    os.ftruncate(descriptor, arrival.size)
                    if self._account is not None:
                        os.fchown(descriptor, self._account.user, self._account.group)
                    self._transfer(arrival, folder.descriptor, descriptor)
                finally:
                    os.close(descriptor)
        finally:
            self._places.incoming.remove("peer")

    def _transfer(self, arrival: Arrival, folder: int, descriptor: int) -> None:
        rsync = [
            # Appended to what a cut transfer left; whether that is right the digest says.
            *("rsync", "--inplace", "--append", "--no-motd", "--timeout=60", "--contimeout=10"),
            # The name apart, where nothing in it is a pattern. Where to without any folder, which
            # rsync would enter by its path from the root, and as a file, so that there is but one.
            *("--files-from=-", "--from0", "--no-relative", "--no-dirs", self._address, CONTENT),
        ]
        with started(
            without_rights(rsync, self._account),
            account=self._account,
            environment={"RSYNC_PASSWORD": self._secret},
            largest_file=arrival.file.size + SPARE,
            folder=folder,
        ) as process:
            assert process.popen.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.popen.stdin.write(arrival.file.path.encode() + b"\0")
                process.popen.stdin.close()
            self._follow(arrival, descriptor, process)
            code, lines = process.end()
        if code != 0:
            said = one_line(lines[0]) if lines else f"rsync ended with {code}"
            if free_bytes(self._places.model) < FULL_DISK:
                raise Failure(f"{self._places.model.path} is full: {said}")
            raise Cut(f"{arrival.file.path} from {self.where}: {said}")

    def _follow(self, arrival: Arrival, descriptor: int, process: Process) -> None:
        """Copy what the other process writes, until it has ended."""
        buffer = memoryview(bytearray(BUFFER))
        pace = Pace(60, self.where)
        punched = arrival.size
        while True:
            running = process.running()
            count = os.preadv(descriptor, [buffer], arrival.size)
            pace.came(count)
            if count:
                arrival.write(buffer[:count])
                if arrival.size - punched >= KEPT:
                    _punch(descriptor, punched, arrival.size - punched)
                    punched = arrival.size
            elif not running:
                return
            else:
                time.sleep(0.02)


def _punch(descriptor: int, offset: int, length: int) -> None:
    """Give back the disk's space below a part of a file, where the disk can."""
    keep_size, punch_hole = 1, 2  # fallocate(2)
    allocate = ctypes.CDLL(None, use_errno=True).fallocate
    allocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    allocate(descriptor, keep_size | punch_hole, offset, length)
