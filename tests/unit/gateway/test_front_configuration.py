"""A front's configuration, and that of a box behind it, as HAProxy itself reads them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from fortyninety.gateway.authority import authority_in
from tests.unit.gateway.fake_engine import FakeEngine
from tests.unit.gateway.running_front import FRONT, RunningFront
from tests.unit.gateway.running_gateway import HAPROXY, RunningGateway, needs_haproxy


@needs_haproxy
def test_haproxy_takes_a_front_and_its_box(engine: FakeEngine, tmp_path: Path) -> None:
    assert HAPROXY is not None
    authority = authority_in(tmp_path / "authority", "test", datetime.now(UTC))
    box = RunningGateway(
        tmp_path / "box", engine, authority=authority, name="box-1", fronts=(FRONT,)
    )
    for each in (box, RunningFront(tmp_path / "front", authority, [box])):
        ran = subprocess.run(
            [HAPROXY, "-c", "-f", str(each.configuration)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "WARNING" not in ran.stdout + ran.stderr


def test_events_of_a_stream_leave_a_front_at_once(tmp_path: Path) -> None:
    authority = authority_in(tmp_path / "authority", "test", datetime.now(UTC))
    front = RunningFront(tmp_path / "front", authority, [])
    assert "    option http-no-delay\n" in front.configuration.read_text()
