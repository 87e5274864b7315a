"""Ask a model hub over HTTP, with bounds on everything that it may answer.

Every question of this machine to a hub goes through here. The token is sent to the hub's own
address alone, over https alone; nothing is read from ~/.netrc or from another tool's files; no
answer is longer, and no wait is, than the caller said. Certificates are always checked, against
the bundle that REQUESTS_CA_BUNDLE names where it is set.

Not by huggingface_hub. Measured against a local server, 1.17.0 and 2.4.0 alike: 256 MiB of JSON
without an end are read whole and take 512 MiB of memory; an answer that drips for 20 s is waited
for with a timeout of 2 s; a token in HF_TOKEN that no setting named is sent, over http too; an
error repeats 100,000 characters of the server's, escape sequences included.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from fortyninety.on_host.snapshot.reader import PUBLIC_HUB

if TYPE_CHECKING:
    import requests

# Seconds: until a connection is there, until the next bytes of an answer, and for all of a small
# answer (one that arrives a byte at a time never exceeds the second).
CONNECT, SILENCE, ANSWER = 5.0, 30.0, 60.0
MOST_REDIRECTS = 5
# The list of a repository's files, in bytes: 10,000 files of 800 bytes each.
LONGEST_PAGE = 8 * 2**20
_CHUNK = 2**16
# An address may be in every line of an error; longer than this, it says nothing more.
_LONGEST_ADDRESS = 200

Answer = TypeVar("Answer")


class HubError(Exception):
    """Why a hub gives no answer that can be used, in one printable line.

    `status` is the HTTP status, where that is the reason.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


def shown_address(address: str) -> str:
    """Return an address for people: without user, password and query, printable and not long."""
    scheme, separator, rest = address.partition("://")
    rest = re.split(r"[?#]", rest if separator else scheme, maxsplit=1)[0]
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    # An @ after the first slash may still be the end of a password that has a slash in it.
    shown = (scheme + separator if separator else "") + authority + slash + path.rpartition("@")[2]
    shown = "".join(each if each.isprintable() else "?" for each in shown)
    return shown if len(shown) <= _LONGEST_ADDRESS else f"{shown[: _LONGEST_ADDRESS - 3]}..."


def is_https(address: str) -> bool:
    """Return whether what is sent to an address is encrypted, and who answers is known."""
    return urlsplit(address).scheme == "https"


def parse_json(content: bytes, name: str) -> Any:
    """Return what JSON says. Raises HubError, also for JSON made to exhaust its reader."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise HubError(f"{name} is no JSON ({type(error).__name__})") from error


class Hub:
    """A model hub at an address: `endpoint`, or the public one.

    Only https, but where the caller says `checked`: that it holds every answer to digests that it
    knows already. Raises HubError for an address or a token that must not be used.
    """

    def __init__(
        self, endpoint: str | None, token: str | None = None, *, checked: bool = False
    ) -> None:
        self.address = (endpoint or PUBLIC_HUB).rstrip("/")
        self.name = shown_address(self.address)
        self._token = token
        self._session: requests.Session | None = None
        refuse_address(self.address)
        if not is_https(self.address):
            if not checked:
                raise HubError(f"{self.name} is not https: anybody on the way could answer for it")
            if token is not None:
                raise HubError(f"{self.name} is not https: the token would be readable on the way")

    def page(self, path: str, *, most: int = LONGEST_PAGE, seconds: float = ANSWER) -> Any:
        """Return the JSON at a path. Raises HubError."""
        content = self.content(path, most=most, seconds=seconds)
        return parse_json(content, shown_address(f"{self.address}{path}"))

    def content(
        self,
        path: str,
        *,
        most: int,
        span: tuple[int, int] | None = None,
        seconds: float = ANSWER,
    ) -> bytes:
        """Return what is at a path (with a leading slash), at most `most` bytes of it.

        `span` asks for the bytes from its first to before its second number, and no more is read.
        Raises HubError where there are more than `most`, or they are not here after `seconds`.
        """
        address = f"{self.address}{path}"
        try:
            return _within(seconds, lambda: self._content(address, most, span))
        except TimeoutError as error:
            self._session = None  # whoever still reads from it keeps it
            raise HubError(f"{shown_address(address)} takes more than {seconds:.0f} s") from error

    def _content(self, address: str, most: int, span: tuple[int, int] | None) -> bytes:
        import requests  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            return self._followed(address, most, span)
        except requests.exceptions.SSLError as error:
            raise HubError(f"{shown_address(address)} has no certificate to trust") from error
        except (OSError, ValueError, HTTPError, http.client.HTTPException) as error:
            kind = type(error).__name__
            raise HubError(f"{shown_address(address)} does not answer ({kind})") from error

    def _followed(self, address: str, most: int, span: tuple[int, int] | None) -> bytes:
        for _ in range(MOST_REDIRECTS + 1):
            with self._asked(address, span) as response:
                if response.status_code in (301, 302, 303, 307, 308):
                    target = urljoin(address, response.headers.get("Location", ""))
                    refuse_address(target)
                    if is_https(address) and not is_https(target):
                        raise HubError(
                            f"{shown_address(address)} redirects to {shown_address(target)}, which "
                            "is not https"
                        )
                    address = target
                    continue
                if response.status_code not in (200, 206):
                    raise HubError(
                        f"{shown_address(address)} answers with HTTP status {response.status_code}",
                        response.status_code,
                    )
                return _body(response, address, most, span)
        raise HubError(f"{self.name} redirects more than {MOST_REDIRECTS} times")

    def _asked(self, address: str, span: tuple[int, int] | None) -> requests.Response:
        from requests.utils import get_environ_proxies  # noqa: PLC0415

        # As it is: what unpacks to a thousand times its size is not asked for.
        headers = {"Accept-Encoding": "identity"}
        if span is not None:
            headers["Range"] = f"bytes={span[0]}-{span[1] - 1}"
        if self._token is not None and _origin(address) == _origin(self.address):
            headers["Authorization"] = f"Bearer {self._token}"
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        if self._session is None:
            self._session = _session()
        return self._session.get(
            address,
            headers=headers,
            timeout=(CONNECT, SILENCE),
            stream=True,
            allow_redirects=False,
            proxies=get_environ_proxies(address),
            verify=bundle or True,
        )


def _session() -> requests.Session:
    """A client that keeps its connection, and does nothing that it is not told."""
    # Here, and not above: pyinfra, which may be imported later, must change TLS before it is used.
    import requests  # noqa: PLC0415

    class Session(requests.Session):
        """Follows no redirect by itself: it would read the body of each without bound."""

        def get_redirect_target(self, resp: requests.Response) -> None:
            return None

    session = Session()
    session.trust_env = False  # no ~/.netrc
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def refuse_address(address: str) -> None:
    """Raise HubError for an address that is no http(s) address, or holds a user or password."""
    # What two readers of an address may understand differently is none.
    odd = not address.isascii() or not address.isprintable() or " " in address or "\\" in address
    try:
        parts = urlsplit(address)
        wrong = odd or parts.scheme not in ("http", "https") or not parts.hostname
        _ = parts.port
    except ValueError:
        wrong = True
    if wrong:
        raise HubError(f"{shown_address(address)} is no address; expected https://...")
    if "@" in parts.netloc:
        raise HubError(
            f"the address of {shown_address(address)} holds a user or a password; expected none"
        )


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _body(
    response: requests.Response, address: str, most: int, span: tuple[int, int] | None
) -> bytes:
    """The bytes that were asked for. Raises HubError where there are more than `most`."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise HubError(f"{shown_address(address)} sends packed what was asked for as it is")
    # A server that ignores the range sends everything, from its beginning.
    skip = span[0] if span is not None and response.status_code == 200 else 0
    length = most + 1 if span is None else span[1] - span[0]
    if skip + length > most + 1:
        raise HubError(f"{shown_address(address)} sends no part of a file, but all of it")
    arrived = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        arrived += chunk
        if len(arrived) >= skip + length:
            break
    if span is None and len(arrived) > most:
        raise HubError(f"{shown_address(address)} has more than {most} bytes")
    return bytes(arrived[skip : skip + length])


def _within(seconds: float, function: Callable[[], Answer]) -> Answer:
    """What the function returns or raises; TimeoutError where it takes longer.

    A timeout of a socket begins anew with every byte; this one does not.
    """
    done = threading.Event()
    result: list[Answer] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            result.append(function())
        except BaseException as error:
            raised.append(error)
        finally:
            done.set()

    began = time.monotonic()
    threading.Thread(target=run, daemon=True).start()
    if not done.wait(max(0.0, seconds - (time.monotonic() - began))):
        raise TimeoutError
    if raised:
        raise raised[0]
    return result[0]
