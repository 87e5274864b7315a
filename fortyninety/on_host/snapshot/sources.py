"""Take files in from where they come from: a hub, a mirror, a folder of this host, or a peer."""

import contextlib
import ctypes
import json
import os
import re
import select
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.arrival import Arrival, Pace, copy_in
from fortyninety.on_host.snapshot.digest import BUFFER
from fortyninety.on_host.snapshot.failures import (
    Cut,
    Failure,
    Silent,
    SourceRefuses,
    WrongBytes,
    one_line,
)
from fortyninety.on_host.snapshot.places import Places
from fortyninety.on_host.snapshot.present import free_bytes
from fortyninety.on_host.snapshot.processes import (
    Account,
    Process,
    network_environment,
    started,
    without_rights,
)
from fortyninety.on_host.snapshot.serve import PEER_USER

# Seconds between attempts at a source that was cut off, until it has been silent for `patience`.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
# What a process may write beyond the file that it is to bring, in bytes.
SPARE = 1 << 20
# Free bytes below which it is the disk that a transfer ends at.
FULL_DISK = 16 << 20
# How much of what was copied from a peer's file is kept there, in bytes.
KEPT = 16 << 20
CONTENT = "content"
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,200}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,254}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)


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


class Http:
    """A hub or a mirror, read by a process without rights (`reader.py`)."""

    attempts = 2

    def __init__(self, source: dict[str, Any], account: Account | None) -> None:
        self._source = _checked(source)
        self._account = account
        self._patience = float(source.get("patience", 60))
        self._running = contextlib.ExitStack()
        self._process: Process | None = None
        self.where = "the hub" if source["kind"] == "hub" else str(source["source"])

    def close(self) -> None:
        """End the process that reads."""
        self._running.close()
        self._process = None

    def receive(self, arrival: Arrival) -> None:
        """Take the rest in, as long as bytes come or the last are not `patience` seconds old."""
        wait, have, since = FIRST_WAIT, arrival.size, time.monotonic()
        while True:
            try:
                self._once(arrival)
                return
            except Silent:
                if arrival.size != have:
                    wait, have, since = FIRST_WAIT, arrival.size, time.monotonic()
                if time.monotonic() + wait - since > self._patience:
                    raise
            except BaseException:
                self.close()  # What it still sends is of this file.
                raise
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _once(self, arrival: Arrival) -> None:
        pipe, pace = self._started(), Pace(max(self._patience, 30), self.where)
        request = {"path": arrival.file.path, "offset": arrival.size}
        try:
            pipe.send(request)
            self._take(pipe, arrival, pace)
        except _Quiet:
            self.close()
            raise
        except _Ended:
            said = f"{self.where}: the process that reads from it ended: {self._ended()}"
            raise Silent(said) from None

    def _take(self, pipe: "_Pipe", arrival: Arrival, pace: Pace) -> None:
        buffer = memoryview(bytearray(BUFFER))
        while True:
            kind = bytes(pipe.receive(1, pace))
            if kind == b"B":
                (offset,) = struct.unpack(">Q", pipe.receive(8, pace))
                if offset == 0 and arrival.size:
                    arrival.restart()
                if offset != arrival.size:
                    raise _Ended
            elif kind == b"D":
                (length,) = struct.unpack(">I", pipe.receive(4, pace))
                while length:
                    piece = pipe.receive_some(buffer[: min(length, BUFFER)], pace)
                    arrival.write(piece)
                    length -= len(piece)
            elif kind == b"E":
                (length,) = struct.unpack(">I", pipe.receive(4, pace))
                if length > BUFFER:
                    raise _Ended
                _raise_what_was_said(bytes(pipe.receive(length, pace)))
                return
            else:
                raise _Ended

    def _started(self) -> "_Pipe":
        if self._process is None:
            program = str(Path(sys.argv[0]).resolve())
            command = [sys.executable, "-I", "-B", program, "read"]
            self._process = self._running.enter_context(
                started(
                    command,
                    account=self._account,
                    environment=network_environment(),
                    largest_file=0,
                    stdout=subprocess.PIPE,
                )
            )
            account = self._account and [self._account.user, self._account.group]
            _Pipe(self._process).send({"source": self._source, "account": account})
        return _Pipe(self._process)

    def _ended(self) -> str:
        assert self._process is not None
        _, lines = self._process.end()
        self.close()
        return one_line(lines[-1]) if lines else "without a word"


class _Quiet(Silent):
    """Nothing comes from the process that reads, and it does not say why."""


class _Ended(Exception):
    """The process that reads is gone, or does not keep to its protocol."""


class _Pipe:
    """What a process sends, byte for byte, and what it is told."""

    def __init__(self, process: Process) -> None:
        popen = process.popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        self._input, self._output = popen.stdin.fileno(), popen.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN | select.POLLHUP)

    def send(self, request: dict[str, Any]) -> None:
        """Tell it what to do. Raises _Ended where it is gone."""
        try:
            os.write(self._input, json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise _Ended from error

    def receive(self, count: int, pace: Pace) -> memoryview:
        """Exactly so many bytes. Raises _Ended, and Silent where they do not come."""
        found = memoryview(bytearray(count))
        have = 0
        while have < count:
            have += len(self.receive_some(found[have:], pace))
        return found

    def receive_some(self, buffer: memoryview, pace: Pace) -> memoryview:
        """The next bytes, as many as there are and fit."""
        while not self._poll.poll(1000):
            self._wait(pace)
        count = os.readv(self._output, [buffer])
        if not count:
            raise _Ended
        self._wait(pace, count)
        return buffer[:count]

    @staticmethod
    def _wait(pace: Pace, count: int = 0) -> None:
        try:
            pace.came(count)
        except Silent as silent:
            raise _Quiet(str(silent)) from None


def _raise_what_was_said(text: bytes) -> None:
    """Raise what the last frame of a file says went wrong, if something did."""
    try:
        said = json.loads(text)
        error, message = said.get("error"), one_line(str(said.get("message")))
    except (ValueError, AttributeError, RecursionError) as wrong:
        raise _Ended from wrong
    if error is None:
        return
    if error == "refuses":
        raise SourceRefuses(message)
    raise (Silent if said.get("again") is True else Cut)(message)


def _checked(source: dict[str, Any]) -> dict[str, Any]:
    """What the reading process is told of a source. Raises SourceRefuses for what it may not."""
    hub = source["kind"] == "hub"
    address = source.get("endpoint") if hub else source.get("source")
    token = source.get("token") if hub else None
    if address is not None:
        if not isinstance(address, str) or not address.isascii() or not address.isprintable():
            raise SourceRefuses(f"{address!a} is no address")
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or " " in address:
            raise SourceRefuses(f"{address!a} is no http or https address")
        if parts.username or parts.password:
            raise SourceRefuses("the address of a source has a user in it; expected hub_token")
        if token and parts.scheme != "https":
            raise SourceRefuses(
                f"{address} is not https: the token (hub_token) would be readable on the network"
            )
    if hub and not _REPOSITORY.fullmatch(str(source.get("repository"))):
        raise SourceRefuses(f"{source.get('repository')!a} is no repository")
    return {
        "kind": source["kind"],
        "source": address if not hub else None,
        "endpoint": address if hub else None,
        "repository": source.get("repository"),
        "revision": source.get("revision"),
        "token": token,
    }


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
