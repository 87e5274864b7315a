"""Speak HTTP over a connection that exists, whatever the other end says and however slowly.

An engine that somebody took over may answer without end, drip, or fall silent.
"""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, cast

from fortyninety.text.printable import printable

# Bytes of the body of an error, and characters of it that are shown.
LONGEST_ERROR = 65536
LONGEST_SHOWN = 300


# What reading an answer ends with where it is none. A chunk of more bytes than there are numbers is
# an overflow.
BROKEN = (OSError, http.client.HTTPException, ValueError, OverflowError)


class Stream(Protocol):
    """A connection: a socket, or a channel of SSH."""

    def sendall(self, data: bytes, /) -> Any:
        """Send all of it."""

    def recv(self, size: int, /) -> bytes:
        """Receive some bytes; none at the end."""

    def settimeout(self, seconds: float | None, /) -> Any:
        """Raise TimeoutError where a later call takes longer."""


@dataclass(frozen=True)
class Bounds:
    """The most seconds without a byte, the most in all, and the most bytes of one answer."""

    silence: float
    whole: float
    bytes: int


class Unanswered(Exception):
    """Why the engine gave no answer, in one printable line that follows "the engine is"."""

    def __init__(self, reason: str) -> None:
        super().__init__(printable(" ".join(reason.split()), LONGEST_SHOWN))


def request(
    stream: Stream,
    port: int,
    path: str,
    bounds: Bounds,
    body: object = None,
    *,
    host: str = "127.0.0.1",
    headers: Mapping[str, str] = MappingProxyType({}),
    keep: bool = False,
) -> http.client.HTTPResponse:
    """Send a GET, or a POST of `body` as JSON; return the response once its head is there.

    `host` and `port` are who is asked for, `headers` are further ones; with `keep` the connection
    may serve another request, once the response is read to its end. The body of the response is
    read within the same bounds. Raises Unanswered, also for a status that is not 200; reading
    raises what `unanswered` explains.
    """
    after = "keep-alive" if keep else "close"
    connection = http.client.HTTPConnection(host, port)
    # It has the one method that is used of it, and `sendall`.
    connection.sock = cast(Any, _Wire(stream, bounds))
    try:
        connection.request(
            "GET" if body is None else "POST",
            path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Connection": after, **headers},
        )
        response = connection.getresponse()
        if response.status != 200:
            said = _error_of(response.read(LONGEST_ERROR))
            raise Unanswered(f"answering HTTP {response.status}: {said}")
    except BROKEN as error:
        raise unanswered(error, bounds) from error
    return response


def unanswered(error: Exception, bounds: Bounds) -> Unanswered:
    """What to raise in place of an error that reading an answer ended with."""
    if isinstance(error, _TooLong):
        return Unanswered(str(error))
    if isinstance(error, TimeoutError):
        return Unanswered(f"taking no request for {bounds.silence:g} s")
    if isinstance(error, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return Unanswered("ending the connection before its answer is complete")
    if isinstance(error, OSError):
        return Unanswered(f"cut off: {error}")
    # Some have no text but their name.
    return Unanswered(f"answering what is no HTTP ({str(error) or type(error).__name__})")


def parsed(content: bytes) -> dict[str, Any]:
    """The object that JSON says. Raises Unanswered for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unanswered(f"saying {shown(content)}; expected a JSON object")
    return found


def error_text(said: dict[str, Any]) -> str | None:
    """The message of an error in one of the two forms that releases have; None where it is none."""
    error = said.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    if message is None and said.get("object") == "error":
        message = said.get("message")
    return None if message is None else str(message)[:LONGEST_SHOWN]


def shown(content: bytes) -> str:
    """The beginning of what came, as Python would write it."""
    return repr(content[:80].decode(errors="replace"))


def _error_of(content: bytes) -> str:
    try:
        message = error_text(parsed(content))
    except Unanswered:
        message = None
    return message or shown(content)


class _TooLong(OSError):
    """A bound was reached."""


class _Reading(io.RawIOBase):
    def __init__(self, stream: Stream, bounds: Bounds) -> None:
        self._stream, self._bounds = stream, bounds
        self._until = time.monotonic() + bounds.whole
        self._left = bounds.bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self._stream.settimeout(min(left, self._bounds.silence))
            data = self._stream.recv(min(len(buffer), 65536))
        except TimeoutError as late:
            if left < self._bounds.silence:
                raise _TooLong(
                    f"taking more than {self._bounds.whole:g} s for one answer"
                ) from late
            raise _TooLong(f"silent for {self._bounds.silence:g} s") from late
        self._left -= len(data)
        if self._left < 0:
            raise _TooLong(f"sending more than {self._bounds.bytes} bytes for one answer")
        buffer[: len(data)] = data
        return len(data)


class _Wire:
    """What http.client uses of a socket. The connection is not its to close."""

    def __init__(self, stream: Stream, bounds: Bounds) -> None:
        self._stream, self._bounds = stream, bounds
        self._asked = b""

    def sendall(self, data: bytes) -> None:
        self._asked += data

    def makefile(self, mode: str) -> io.BufferedReader:
        del mode
        # Head and body at once: where the head goes first, the body waits until the other end says
        # that it has it, and it may take its time (Nagle, delayed acknowledgements: 40 ms).
        self._stream.settimeout(self._bounds.silence)
        self._stream.sendall(self._asked)
        return io.BufferedReader(_Reading(self._stream, self._bounds))

    def close(self) -> None:
        """Nothing: http.client closes before the answer is read."""
