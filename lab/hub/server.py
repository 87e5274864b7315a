"""The HTTP server: routes of the Hub's interface, answered from folders."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from lab.hub import pages
from lab.hub.access_log import AccessLog
from lab.hub.byte_range import UnsatisfiableRangeError, parse_range
from lab.hub.faults import Faults, Flip, with_flip
from lab.hub.git_service import GitRequest, git_answer, git_folder
from lab.hub.repository import (
    BRANCH,
    RepositoryFile,
    RepositoryNotFoundError,
    Snapshot,
    read_snapshot,
)

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class _RefusedError(Exception):
    """A request that is answered with an error; `code` is the Hub's word for it."""

    status: HTTPStatus
    code: str
    message: str


class HubServer(ThreadingHTTPServer):
    """Serves the repositories below `root` on `address`.

    `bytes_per_second` limits each connection, so that a test can cut a download at leisure, and
    `faults` is what is wrong with it; with a `certificate` it speaks https.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        root: Path,
        log: AccessLog,
        bytes_per_second: int | None = None,
        faults: Faults | None = None,
        *,
        certificate: Path | None = None,
    ) -> None:
        super().__init__(address, _Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # With the handshake in the connection's own thread.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.faults = faults or Faults()
        self._answering = 0
        self._counting = threading.Lock()
        self.root = root
        self.log = log
        self.bytes_per_second = bytes_per_second

    @property
    def busy(self) -> bool:
        """Whether a request is being answered: its line is not in the log yet."""
        return self._answering > 0

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request from its beginning to its line in the log."""
        with self._counting:
            self._answering += 1
        try:
            yield
        finally:
            with self._counting:
                self._answering -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fortyninety-lab-hub"
    server: HubServer
    # A client that goes quiet does not hold a thread for ever. Seconds.
    timeout = 120

    def do_GET(self) -> None:
        with self.server.answering():
            self._answer()

    def do_HEAD(self) -> None:
        with self.server.answering():
            self._answer()

    def do_POST(self) -> None:
        with self.server.answering():
            self._answer()

    def log_message(self, *_: object) -> None:
        """Stay silent: the access log says it all."""

    def _answer(self) -> None:
        self._status = 0
        self._sent = 0
        try:
            try:
                self._route()
            except _RefusedError as refused:
                self._refuse(refused)
        except ConnectionError:
            # The client went away; the line says how much it had got by then.
            self.close_connection = True
        finally:
            self.server.log.write(
                self.command,
                self.path,
                status=self._status,
                sent=self._sent,
                asked=self.headers.get("Range"),
                client=str(self.client_address[0]),
            )

    def _refuse_strangers(self) -> None:
        faults = self.server.faults
        if faults.rate_limited:
            raise _RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "", "Too many requests")
        given = self.headers.get("Authorization")
        if faults.token is None or given == f"Bearer {faults.token}":
            return
        scheme, _, basic = (given or "").partition(" ")
        if scheme == "Basic" and base64.b64decode(basic) == f"user:{faults.token}".encode():
            return
        if given is None:
            raise _RefusedError(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Repository not found")
        raise _RefusedError(
            HTTPStatus.UNAUTHORIZED, "", "Invalid credentials in Authorization header"
        )

    def _route(self) -> None:
        self._refuse_strangers()
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        match address.path.strip("/").split("/"):
            case ["api", "models", organisation, name]:
                self._model(self._snapshot(organisation, name, BRANCH), query)
            case ["api", "models", organisation, name, "revision", revision]:
                self._model(self._snapshot(organisation, name, revision), query)
            case ["api", "models", organisation, name, "tree", revision, *folder]:
                snapshot = self._snapshot(organisation, name, revision)
                self._tree(snapshot, unquote("/".join(folder)), query)
            case [organisation, name, "info", "refs"]:
                self._git(self._snapshot(organisation, name, BRANCH), "info/refs", address.query)
            case [organisation, name, "git-upload-pack"]:
                self._git(self._snapshot(organisation, name, BRANCH), "git-upload-pack", "")
            case [organisation, name, "resolve", revision, *path] if path:
                snapshot = self._snapshot(organisation, name, revision)
                self._file(snapshot, unquote("/".join(path)))
            case _:
                raise _RefusedError(HTTPStatus.NOT_FOUND, "NotFound", "No such page")

    def _snapshot(self, organisation: str, name: str, revision: str) -> Snapshot:
        try:
            snapshot = read_snapshot(self.server.root, f"{organisation}/{name}")
        except RepositoryNotFoundError as error:
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found"
            ) from error
        if unquote(revision) not in (BRANCH, snapshot.commit):
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}"
            )
        return snapshot

    def _model(self, snapshot: Snapshot, query: dict[str, list[str]]) -> None:
        listed = self.server.faults.listed
        self._json(pages.model_information(snapshot, "blobs" in query, listed))

    def _git(self, snapshot: Snapshot, path: str, query: str) -> None:
        if not self.server.faults.git:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "NotFound", "No such page")
        if self.server.faults.gated:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "GatedRepo", "Access is restricted")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = GitRequest(path, query, self.headers, body)
        repository = git_folder(self.server.root, snapshot)
        content_type, content = git_answer(repository, request, self.server.faults)
        self._start(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self._sent += len(content)

    def _tree(self, snapshot: Snapshot, folder: str, query: dict[str, list[str]]) -> None:
        recursive = query.get("recursive", ["false"])[0].lower() in ("1", "true")
        entries = pages.tree(snapshot, folder, recursive)
        if entries is None:
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, "EntryNotFound", f"{folder} does not exist on {BRANCH}"
            )
        self._json(entries)

    def _file(self, snapshot: Snapshot, path: str) -> None:
        file = snapshot.files.get(path)
        if file is None:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
        faults = self.server.faults
        if faults.gated:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "GatedRepo", "Access is restricted")
        failure = faults.next_failure(path) if self.command == "GET" else None
        self._flipped = faults.flipped.get(path)
        if isinstance(failure, Flip):
            self._flipped, failure = failure.position, None
        if isinstance(failure, HTTPStatus):
            raise _RefusedError(failure, "", failure.phrase)
        size = faults.size_of(path, file.size)
        try:
            span = parse_range(self.headers.get("Range"), size)
        except UnsatisfiableRangeError:
            self._start(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._start(HTTPStatus.OK if span.whole else HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(span.length))
        self.send_header("Accept-Ranges", "bytes")
        if not span.whole:
            self.send_header("Content-Range", span.content_range)
        self.send_header("ETag", f'"{file.entity_tag}"')
        self.send_header("X-Repo-Commit", snapshot.commit)
        if file.sha256 is not None:
            self.send_header("X-Linked-Etag", f'"{file.sha256}"')
            self.send_header("X-Linked-Size", str(size))
        self.end_headers()
        if self.command == "GET":
            self._send_content(file, span.start, span.length, cut_after=failure)

    def _send_content(
        self, file: RepositoryFile, start: int, length: int, *, cut_after: int | None
    ) -> None:
        rate = self.server.bytes_per_second
        chunk_size = _CHUNK if rate is None else max(1, min(_CHUNK, rate // 10))
        began = time.monotonic()
        with file.location.open("rb") as content:
            content.seek(start)
            while self._sent < length:
                if cut_after is not None:
                    chunk_size = min(chunk_size, cut_after - self._sent)
                chunk = content.read(min(chunk_size, length - self._sent))
                if not chunk:
                    # To be cut here, or the file shrank under us: an early end tells the client.
                    self.close_connection = True
                    return
                self.wfile.write(with_flip(chunk, self._flipped, start + self._sent))
                self._sent += len(chunk)
                if rate is not None:
                    time.sleep(max(0.0, began + self._sent / rate - time.monotonic()))

    def _refuse(self, refused: _RefusedError) -> None:
        self._json({"error": refused.message}, refused.status, refused)

    def _json(
        self,
        content: object,
        status: HTTPStatus = HTTPStatus.OK,
        refused: _RefusedError | None = None,
    ) -> None:
        body = json.dumps(content).encode()
        self._start(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if refused is not None:
            if refused.code:
                self.send_header("X-Error-Code", refused.code)
            self.send_header("X-Error-Message", refused.message)
            if refused.status == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            self._sent += len(body)

    def _start(self, status: HTTPStatus) -> None:
        self._status = int(status)
        self.send_response(status)
