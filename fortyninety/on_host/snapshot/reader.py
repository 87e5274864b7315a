"""Read from a hub or a mirror, in a process without rights, and pass on what comes.

    snapshot read

takes one JSON object on standard input, which says who to become and what source there is, and
then one for each file: its path and how many bytes of it are here. It answers each on standard
output, in frames: "B" and the offset (8 bytes) at which the content goes on; "D", a length (4
bytes) and so many bytes; and at the end "E", a length (4 bytes) and a JSON object that is empty or
says what went wrong. The reading side is `http_source.Http`, which believes none of it.
"""

import contextlib
import ctypes
import json
import os
import re
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

MOST_REDIRECTS = 8
# Seconds that a connection, or the next bytes on it, may take before it counts as cut.
TIMEOUT = 10
PUBLIC_HUB = "https://huggingface.co"
_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE = 38, 4  # prctl.h
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-\d{1,15}/(?:\d{1,15}|\*)")


class _Refused(Exception):
    """An answer that no second try makes better."""


class _Failed(Exception):
    """An answer that fails; `again` says whether another try may go better."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again


def read() -> int:
    """Answer requests until there are no more. The process's exit code."""
    setting = json.loads(sys.stdin.readline())
    reader = _Reader(setting["source"])
    _give_up_rights(setting["account"])
    for line in sys.stdin:
        request = json.loads(line)
        with contextlib.suppress(BrokenPipeError):
            _send(b"E", reader.answer(request["path"], request["offset"]))
    return 0


def _give_up_rights(account: list[int] | None) -> None:
    """Become the account for good: before the first byte from outside, after the last import.

    What is imported need not be readable by the account. As the rights change while it runs, Linux
    lets no other process of the account look into this one, which knows the token.
    """
    if account is not None:
        user, group = account
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    library = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0)):
        if library.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if account is not None and 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()):
        raise PermissionError("this process is still root")


class _Reader:
    """A client of one hub or mirror."""

    def __init__(self, source: dict[str, Any]) -> None:
        import encodings.idna  # noqa: PLC0415

        # Without its command line and what that draws with: a third of the time to import it.
        sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
        import httpcore  # noqa: PLC0415
        import httpx  # noqa: PLC0415

        assert encodings.idna, httpcore  # imported later otherwise, by who may not read them
        self._httpx = httpx
        self._source = source
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False)
        self._headers = {"accept-encoding": "identity", "user-agent": "fortyninety"}
        self._token: str | None = source.get("token")
        self._name = str(source.get("source") or source.get("endpoint") or PUBLIC_HUB)

    def answer(self, path: str, offset: int) -> dict[str, Any]:
        """Send the content of a file from `offset` on. What went wrong, for the last frame."""
        try:
            self._content(path, offset)
        except _Refused as refused:
            return {"error": "refuses", "message": str(refused)}
        except _Failed as failed:
            return {"error": "cut", "again": failed.again, "message": str(failed)}
        except BrokenPipeError:
            raise
        except (self._httpx.HTTPError, self._httpx.InvalidURL, OSError) as error:
            reason = " ".join(str(error.__cause__ or error).split())
            said = f"{self._name} is down or out of reach: {reason}"
            return {"error": "cut", "again": True, "message": said}
        return {}

    def _address(self, path: str) -> str:
        """Where a file is, as the hub's own client asks for it without Xet."""
        source = self._source
        if source["kind"] == "mirror":
            return f"{source['source']}/{quote(path)}"
        hub = (source.get("endpoint") or PUBLIC_HUB).rstrip("/")
        return f"{hub}/{source['repository']}/resolve/{source['revision']}/{quote(path)}"

    def _content(self, path: str, offset: int) -> None:
        with self._asked(path, offset) as response:
            if response.status_code == 416 and offset:
                pass
            elif response.status_code not in (200, 206):
                self._refuse(response.status_code, response.headers)
            begins = _begins(response, offset)
            if begins is not None:
                self._pass_on(response, begins)
                return
        with self._asked(path, 0) as response:
            if response.status_code != 200:
                self._refuse(response.status_code, response.headers)
            self._pass_on(response, 0)

    @contextlib.contextmanager
    def _asked(self, path: str, offset: int) -> Iterator[Any]:
        """The answer to a request, from wherever it is to be had.

        The token is seen by the hub's own address alone, whatever it redirects to, and nothing
        that was asked for by https comes by http.
        """
        httpx = self._httpx
        first = url = httpx.URL(self._address(path))
        for _ in range(MOST_REDIRECTS):
            headers = dict(self._headers)
            if offset:
                headers["range"] = f"bytes={offset}-"
            if self._token and url.scheme == "https" and _origin(url) == _origin(first):
                headers["authorization"] = f"Bearer {self._token}"
            request = self._client.build_request("GET", url, headers=headers)
            response = self._client.send(request, stream=True)
            try:
                if not response.has_redirect_location:
                    yield response
                    return
                target = url.join(response.headers["location"])
            finally:
                response.close()
            if target.scheme not in ("http", "https") or (url.scheme, target.scheme) == (
                "https",
                "http",
            ):
                raise _Refused(f"{self._name} redirects from {url.scheme} to {target.scheme}")
            url = target.copy_with(username=None, password=None)
        raise _Refused(f"{self._name} redirects more than {MOST_REDIRECTS} times")

    def _pass_on(self, response: Any, offset: int) -> None:
        _write(b"B" + struct.pack(">Q", offset))
        for piece in response.iter_raw():
            _write(b"D" + struct.pack(">I", len(piece)), piece)

    def _refuse(self, status: int, headers: Mapping[str, str]) -> None:
        """Raise what an answer means that is no content, in one line that says what to do.

        As huggingface_hub 1.17 reads it (utils/_http.py, hf_raise_for_status): a hub gives a code,
        and says 401 also where a repository is not there.
        """
        hub, token, code = self._name, self._token, headers.get("x-error-code")
        repository, revision = self._source.get("repository"), self._source.get("revision")
        wrong_token = (
            headers.get("x-error-message") == "Invalid credentials in Authorization header"
        )
        if status in (408, 429) or status >= 500:
            if status == 429:
                raise _Failed(f"{hub} limits the rate of requests: try again later", again=True)
            again = status in (408, 500, 502, 503, 504)
            raise _Failed(f"{hub} answers with HTTP status {status}", again=again)
        if code == "GatedRepo":
            page = "accept it on the repository's page"
            raise _Refused(
                f"the licence of {repository} is not accepted by the token's account: {page}"
                if token
                else f"the licence of {repository} is not accepted, or there is no token: "
                f"{page} and set hub_token"
            )
        if code == "RevisionNotFound":
            raise _Refused(f"{hub} has no commit {revision} of {repository}")
        if self._source["kind"] == "hub" and (
            code == "RepoNotFound" or (status == 401 and not wrong_token)
        ):
            way_out = "the token may not read it" if token else "it needs a token (hub_token)"
            raise _Refused(f"{hub} has no repository {repository}, or {way_out}")
        if status == 401:
            raise _Refused(f"{hub} refuses the token: wrong or expired (hub_token)")
        if status == 403:
            raise _Refused(f"{hub} forbids {repository} to this token (hub_token)")
        if status == 404:
            raise _Refused(f"{hub} has no such file of {repository or 'the snapshot'}")
        raise _Refused(f"{hub} answers with HTTP status {status}")


def _origin(url: Any) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _begins(response: Any, offset: int) -> int | None:
    """Where an answer's content begins in the file: at `offset` or at 0; None elsewhere."""
    if response.status_code == 200:
        return 0
    if response.status_code == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found and int(found[1]) == offset:
            return offset
    return None


def _send(kind: bytes, said: dict[str, Any]) -> None:
    text = json.dumps(said).encode()
    _write(kind + struct.pack(">I", len(text)), text)


def _write(*pieces: bytes) -> None:
    left = [memoryview(piece) for piece in pieces if piece]
    while left:
        written = os.writev(1, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]
