"""Say which engine is measured, and how it is reached: through SSH, or at an address."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from socket import create_connection
from urllib.parse import urlsplit

from fortyninety.engine.bounded_http import BROKEN, Bounds, Stream, Unanswered, request, unanswered
from fortyninety.engine.metrics import LONGEST, Metrics, read_metrics

# Of /metrics, which an engine under load answers between two steps.
BOUNDS_OF_METRICS = Bounds(silence=20, whole=20, bytes=LONGEST)
# Seconds for a connection and a TLS handshake.
CONNECT = 20
_PORTS = {"http": 80, "https": 443}

# A connection of its own, open as long as the block runs.
Opening = Callable[[], AbstractContextManager[Stream]]


@dataclass(frozen=True)
class Target:
    """An engine: how a connection is opened, whom it is asked for, and by which headers."""

    open: Opening
    port: int
    host: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)

    def metrics(self) -> Metrics | None:
        """What the engine says of itself; None where it is not to be had, as at a gateway."""
        try:
            with self.open() as stream:
                response = request(
                    *(stream, self.port, "/metrics", BOUNDS_OF_METRICS),
                    host=self.host,
                    headers=self.headers,
                )
                try:
                    content = response.read(LONGEST)
                except BROKEN as error:
                    raise unanswered(error, BOUNDS_OF_METRICS) from error
        except Unanswered:
            return None
        found = read_metrics(content.decode(errors="replace"))
        return found if found.generated_tokens is not None else None


class NoAddress(Exception):
    """Why an address is none that can be asked, in one line."""


def at_address(address: str, key: str | None, certificate: str | None) -> Target:
    """The engine, or the gateway before it, at http://HOST[:PORT] or https://HOST[:PORT].

    `certificate` is the file of the authorities that are believed in place of the system's. Raises
    NoAddress, also where a key would be sent over a connection that others can read.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError as error:
        raise NoAddress(f"no address ({error})") from error
    if parts.scheme not in _PORTS or not host or port is None or parts.username or parts.query:
        raise NoAddress("no address; expected https://HOST[:PORT]")
    if parts.path.rstrip("/") not in ("", "/v1"):
        raise NoAddress("an address with a path; expected https://HOST[:PORT]")
    secure = parts.scheme == "https"
    if key is not None and not secure and host not in ("127.0.0.1", "::1", "localhost"):
        raise NoAddress("read by whoever is between; expected https where a key is sent")
    context = _context(certificate) if secure else None

    def open_stream() -> AbstractContextManager[Stream]:
        try:
            plain = create_connection((host, port), timeout=CONNECT)
            if context is None:
                return plain
            try:
                return closing(context.wrap_socket(plain, server_hostname=host))
            except BaseException:
                plain.close()
                raise
        except ssl.SSLCertVerificationError as error:
            raise Unanswered(
                f"showing no certificate to believe ({error.verify_message})"
            ) from error
        except (OSError, UnicodeError) as error:
            raise Unanswered(f"not to be connected to ({error})") from error

    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return Target(open_stream, port, host, headers)


def _context(certificate: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=certificate)
    except (OSError, ValueError) as error:
        raise NoAddress(f"to be believed by {certificate}, which is no certificate") from error
