"""The lab's hub on loopback, over a small repository, for tests that fetch from one."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.hub.access_log import AccessLog
from lab.hub.faults import Faults
from lab.hub.repository import head_commit
from lab.hub.server import HubServer

REPOSITORY = "organisation/model"
SHARD = "model-00001-of-00002.safetensors"
CONTENTS = {
    "config.json": b'{"model_type": "llama"}\n',
    "original/params.json": b"{}\n",
    SHARD: bytes(range(256)) * 4096,
    "model-00002-of-00002.safetensors": b"small",
}


@dataclass(frozen=True)
class Hub:
    """A hub that is serving on loopback."""

    root: Path
    address: tuple[str, int]
    log: Path
    faults: Faults = field(default_factory=Faults)
    busy: Callable[[], bool] = lambda: False
    scheme: str = "http"

    @property
    def endpoint(self) -> str:
        """What the client calls it."""
        return f"{self.scheme}://{self.address[0]}:{self.address[1]}"

    @property
    def commit(self) -> str:
        """The repository's commit."""
        return head_commit(self.root, REPOSITORY)

    def lines(self) -> list[list[str]]:
        """The access log's lines, split into fields, of all that was asked so far."""
        deadline = time.monotonic() + 60
        while self.busy() and time.monotonic() < deadline:
            time.sleep(0.005)
        return [line.split() for line in self.log.read_text().splitlines()]

    def forget(self) -> None:
        """Begin the access log anew, once it has all that was asked so far."""
        self.lines()
        self.log.write_text("")

    def ask(
        self, method: str, path: str, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send one request; return status, headers and body."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, response.headers, body


ServeHub = Callable[..., Hub]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A hub's folder with one repository in it."""
    for name, content in CONTENTS.items():
        path = tmp_path / "hub" / REPOSITORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "hub"


@pytest.fixture
def serve_hub(root: Path, tmp_path: Path) -> Iterator[ServeHub]:
    """Start hubs over the folder, at a speed if one is given; stop them all in the end.

    With a certificate over https.
    """
    running: list[tuple[HubServer, threading.Thread]] = []

    def serve(
        bytes_per_second: int | None = None, *, port: int = 0, certificate: Path | None = None
    ) -> Hub:
        log = tmp_path / f"access-{len(running)}.log"
        faults = Faults()
        server = HubServer(
            ("127.0.0.1", port),
            root,
            AccessLog(log),
            bytes_per_second,
            faults,
            certificate=certificate,
        )
        scheme = "http" if certificate is None else "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        address = ("127.0.0.1", server.server_port)
        return Hub(root, address, log, faults, lambda: server.busy, scheme)

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hub(serve_hub: ServeHub) -> Hub:
    """A hub without a limit on its speed."""
    return serve_hub()


@pytest.fixture
def https_hub(serve_hub: ServeHub, trusted: Path) -> Hub:
    """A hub over https, whose certificate this machine trusts."""
    return serve_hub(certificate=trusted)
