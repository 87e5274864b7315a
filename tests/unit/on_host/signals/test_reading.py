"""A whole reading by the archive that hosts get: what it writes, and what keeps it from nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fortyninety.on_host.signals.engine import state_of
from fortyninety.plan.programs import SIGNALS, archive
from tests.unit.on_host.signals.test_ask import listening

SAMPLE = re.compile(r'fortyninety_[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [0-9.e+-]+')


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "signals"
    path.write_bytes(archive(SIGNALS))
    return path


def read(program: Path, known: object, state: str | None = None) -> str:
    """What a reading writes, of a box that the controller knows this of."""
    folder = program.parent
    (folder / "known.json").write_text(known if isinstance(known, str) else json.dumps(known))
    if state is not None:
        (folder / "state.json").write_text(state)
    arguments = [str(folder / name) for name in ("known.json", "state.json", "box.prom")]
    subprocess.run(
        [sys.executable, "-I", "-S", program, *arguments],
        check=True,
        timeout=120,
        capture_output=True,
        cwd="/",
    )
    assert {each.name for each in folder.iterdir()} == {
        *("signals", "known.json", "state.json", "box.prom")
    }
    return (folder / "box.prom").read_text()


def test_a_reading_is_text_that_prometheus_reads(program: Path) -> None:
    began = time.time()
    text = read(program, {"cards": 2, "advisories": [["CVE-2026-48746", "0.22.0"]]})
    samples = [line for line in text.splitlines() if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in samples), samples
    assert "fortyninety_cards_wanted 2\n" in text
    assert (
        'fortyninety_engine_advisory_info{advisory="CVE-2026-48746",fixed_in="0.22.0"} 1\n' in text
    )
    (moment,) = re.findall(r"^fortyninety_reading_timestamp_seconds ([0-9.]+)$", text, re.M)
    assert began - 1 <= float(moment) <= time.time() + 1


@pytest.mark.parametrize(
    ("known", "lacking"),
    [
        ("", "settings"),
        ("[" * 9000, "settings"),
        ({"advisories": [7]}, "engine"),
        ({"status_port": "x", "port": [], "power_limits": 7, "unit": None}, None),
    ],
)
def test_what_the_controller_wrote_may_be_broken(
    program: Path, known: object, lacking: str | None
) -> None:
    text = read(program, known, state='{"cursor": 7, "xids": [], "certificate": [1], "hung": "x"}')
    down = set(re.findall(r'source_up\{source="([a-z]+)"\} 0', text))
    # Which programs this machine has does not matter.
    assert down - {"journal", "cards"} == ({lacking} if lacking else set())
    assert "fortyninety_reading_timestamp_seconds" in text


@pytest.mark.parametrize(
    ("active", "sub", "state"),
    [
        ("activating", "auto-restart", "restarting"),
        ("failed", "failed", "failed"),
        ("inactive", "dead", "stopped"),
        ("deactivating", "stop-sigterm", "stopped"),
    ],
)
def test_systemd_says_that_it_does_not_run(active: str, sub: str, state: str) -> None:
    assert state_of(active, sub, {"port": 1}) == state


@pytest.mark.parametrize(
    ("status", "state"), [(b"200 OK", "serving"), (b"503 Engine dead", "silent")]
)
def test_the_engine_says_whether_it_serves(status: bytes, state: str) -> None:
    with listening(lambda each: each.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")) as port:
        assert state_of("active", "running", {"port": port}) == state
    assert state_of("active", "running", {"port": port}) == "starting"


def test_the_head_of_a_cell_answers_for_its_members() -> None:
    assert state_of("active", "running", {"port": None}) == "serving"
    assert state_of("activating", "start", {"port": None}) == "starting"
