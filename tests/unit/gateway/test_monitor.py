"""Who reads what a box says of itself: the fleet's monitor, its pages, and nobody else."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fortyninety.gateway.authority import FOR_FRONTS, MONITOR, authority_in, issue
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE, FakeEngine
from tests.unit.gateway.running_front import FRONT, RunningFront
from tests.unit.gateway.running_gateway import (
    Answer,
    RunningGateway,
    RunningHaproxy,
    answer_of,
    made_key,
    needs_haproxy,
)

pytestmark = needs_haproxy


class Exporters(ThreadingHTTPServer):
    """What says its own port at any path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        exporters = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporters.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                body = b"up 1\n" * 1000
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__((LOOPBACK, 0), Handler)


@pytest.fixture
def exporter() -> Iterator[Exporters]:
    with Exporters() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def box(engine: FakeEngine, exporter: Exporters, tmp_path: Path) -> Iterator[RunningGateway]:
    own = f"{LOOPBACK}:{exporter.server_address[1]}"
    running = RunningGateway(
        tmp_path / "box", engine, name="box-1", fronts=(FRONT,), pages={"node": own, "engine": own}
    )
    running.start()
    yield running
    running.stop()


def read(
    box: RunningHaproxy, certificate: str | None, path: str, method: str = "GET", **sent: str
) -> Answer:
    """The answer of the monitor's port to who has this certificate."""
    context = box.context()
    context.check_hostname = False
    if certificate is not None:
        file = box.folder / "client.pem"
        file.write_text(certificate)
        context.load_cert_chain(file)
    connection = http.client.HTTPSConnection(
        LOOPBACK, box.monitor_port, timeout=PATIENCE, context=context
    )
    try:
        connection.request(method, path, headers=sent)
        return answer_of(connection.getresponse())
    finally:
        connection.close()


def identity(box: RunningHaproxy, name: str = MONITOR) -> str:
    return issue(box.authority, [name], datetime.now(UTC), FOR_FRONTS)


def test_the_monitor_reads_each_page(box: RunningGateway, exporter: Exporters) -> None:
    for page in ("/node", "/engine", "/node?x=1"):
        answer = read(box, identity(box), page, Cookie="a=b", Authorization="Bearer x")
        assert (answer.status, len(answer.body)) == (200, 5000)
    for path, headers in exporter.asked:
        assert path == "/metrics" and headers["host"] == "localhost"
        assert not {"cookie", "authorization"} & set(headers)


def test_nobody_else_reads_anything(
    box: RunningGateway, exporter: Exporters, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    another = authority_in(tmp_path / "another", "test", now)
    servers = box.certificate.read_text(), issue(box.authority, [MONITOR], now)
    for certificate in (None, *servers, issue(another, [MONITOR], now, FOR_FRONTS)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            read(box, certificate, "/node")
    for name in (FRONT, f"x.{MONITOR}", "monitor"):
        assert read(box, identity(box, name), "/node").status == 403
    assert exporter.asked == []


def test_the_monitor_reads_nothing_else(box: RunningGateway, exporter: Exporters) -> None:
    own = identity(box)
    for path in ("/", "/metrics", "/node/", "/node/../engine", "/NODE", "/v1/models", "/gateway"):
        assert read(box, own, path).status == 404, path
    for method in ("POST", "DELETE", "PUT"):
        assert read(box, own, "/node", method).status == 405
    assert exporter.asked == []


def test_the_monitor_reads_a_front_by_the_same_rules(
    box: RunningGateway, exporter: Exporters, tmp_path: Path
) -> None:
    own = f"{LOOPBACK}:{exporter.server_address[1]}"
    front = RunningFront(tmp_path / FRONT, box.authority, [box], pages={"node": own, "front": own})
    front.start()
    try:
        its = identity(front)
        found = {page: read(front, its, f"/{page}").status for page in ("node", "front", "engine")}
        assert found == {"node": 200, "front": 200, "engine": 404}
        assert read(front, identity(front, FRONT), "/node").status == 403
        with pytest.raises((ssl.SSLError, ConnectionError)):
            read(front, None, "/node")
        assert front.ask(None, "/node", method="GET").status == 401
    finally:
        front.stop()


def test_the_monitor_is_no_front_and_no_client(box: RunningGateway) -> None:
    secret, key = made_key("ada")
    box.give(key)
    assert box.ask(secret).status == 200
    assert box.ask(None, "/node", method="GET").status == 401
    box.monitor_port = box.fronts_port
    assert read(box, identity(box), "/v1/models").status == 403
