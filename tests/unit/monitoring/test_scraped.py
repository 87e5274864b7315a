"""A real Prometheus with what is exported reads a box through the real HAProxy, over TLS."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fortyninety.gateway.authority import authority_in
from fortyninety.monitoring.watched import Itself, targets_text
from tests.unit.cli.run_lines import run_lines
from tests.unit.gateway.fake_engine import LOOPBACK, FakeEngine
from tests.unit.gateway.running_front import FRONT
from tests.unit.gateway.running_gateway import RunningGateway, needs_haproxy
from tests.unit.monitoring.filled_prometheus import (
    PATIENCE,
    RunningPrometheus,
    needs_prometheus,
)

pytestmark = [needs_haproxy, needs_prometheus]
INVENTORY = """
boxes = [("box-1", {{"ssh_hostname": "127.0.0.1", "gateway": True, "signals": True,
    "signals_port": {}}})]
"""


class Page(BaseHTTPRequestHandler):
    """Answers as an exporter does."""

    def do_GET(self) -> None:
        """Say one thing."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"fortyninety_drained 0\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def exporter() -> Iterator[str]:
    """Where something answers for all that a box exports."""
    with ThreadingHTTPServer((LOOPBACK, 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{LOOPBACK}:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def box(exporter: str, tmp_path: Path) -> Iterator[RunningGateway]:
    """A box that shows its pages to who has a certificate of the inventory's authority."""
    engine = FakeEngine()
    authority = authority_in(tmp_path / "fleet.authority", "fleet", datetime.now(UTC))
    (tmp_path / "box").mkdir()
    running = RunningGateway(
        tmp_path / "box",
        engine,
        authority=authority,
        name=LOOPBACK,
        fronts=(FRONT,),
        pages=dict.fromkeys(("node", "engine", "gateway"), exporter),
    )
    running.start()
    yield running
    running.stop()


def test_every_page_is_read(box: RunningGateway, exporter: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.py").write_text(INVENTORY.format(box.monitor_port))
    out = tmp_path / "out"
    line = ("monitoring", "export", str(out), str(tmp_path / "fleet.py"))
    assert run_lines([line], tmp_path)[0].exit_code == 0
    configuration = out / "prometheus.yml"
    # What is asked every 15 s is asked once within the first 15.
    text = configuration.read_text().replace(": 15s", ": 1s").replace(": 10s", ": 1s")
    configuration.write_text(text)
    # As a monitor that says how it is has it, which no gateway stands before.
    of_boxes = json.loads((out / "targets.json").read_text())
    own = json.loads(targets_text([], Itself("monitor-1", exporter)))
    (out / "targets.json").write_text(json.dumps([*of_boxes, *own]))
    prometheus = RunningPrometheus(configuration, tmp_path / "data")
    prometheus.start()
    try:
        until = time.monotonic() + PATIENCE
        found: set[tuple[str, str]] = set()
        while len(found) < 4 and time.monotonic() < until:
            up = prometheus.query("query", query="up == 1")
            found = {(each["metric"]["box"], each["metric"]["job"]) for each in up}
            time.sleep(0.1)
    finally:
        prometheus.stop()
    pages = {("box-1", f"fortyninety-{page}") for page in ("node", "engine", "gateway")}
    assert found == {*pages, ("monitor-1", "fortyninety-node")}
