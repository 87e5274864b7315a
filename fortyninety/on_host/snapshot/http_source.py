"""Read files from a hub or a mirror, by a process without rights (`reader.py`)."""

import contextlib
import json
import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fortyninety.on_host.snapshot.arrival import Arrival, Pace
from fortyninety.on_host.snapshot.digest import BUFFER
from fortyninety.on_host.snapshot.failures import Cut, Silent, SourceRefuses, one_line
from fortyninety.on_host.snapshot.processes import Account, Process, network_environment, started

# Seconds between attempts at a source that was cut off, until it has been silent for `patience`.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)


class Http:
    """A hub or a mirror. The process that reads from it lives from file to file."""

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
