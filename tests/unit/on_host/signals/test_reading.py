"""A whole reading by the archive that hosts get: what it writes, and what keeps it from nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fortyninety.gateway.authority import FOR_FRONTS, authority_in, ends_at, issue
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


@pytest.mark.parametrize(
    ("answer", "ready"), [(b"200 OK", 1), (b"503 Service Unavailable", 0), (b"404 Not Found", 0)]
)
def test_a_front_says_whether_a_box_is_ready(program: Path, answer: bytes, ready: int) -> None:
    with listening(lambda each: each.sendall(b"HTTP/1.1 " + answer + b"\r\n\r\n")) as port:
        # Its own port speaks no TLS here: there is no certificate to be seen.
        text = read(program, {"cards": 0, "front_port": port, "front_status_port": port})
    assert f"fortyninety_front_up {ready}\n" in text
    assert 'source_up{source="front"} 0' in text
    text = read(program, {"cards": 0, "front_port": port, "front_status_port": port})
    assert "fortyninety_front_up 0\n" in text
    assert "fortyninety_front_up" not in read(program, {"cards": 0})


def test_the_end_of_the_fleets_authority_is_said(
    program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    authority = authority_in(elsewhere / "made", "fleet", datetime.now(UTC))
    ends = int(authority.certificate.not_valid_after_utc.timestamp())
    name = 'fortyninety_certificate_expiry_timestamp_seconds{certificate="authority"}'
    path = elsewhere / "authority.pem"
    path.write_text(authority.pem)
    known = {"cards": 0, "certificates": {"authority": str(path)}}
    assert f"{name} {ends}\n" in read(program, known)
    for content in ("", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        path.write_text(content)
        text = read(program, known)
        assert name not in text and 'source_up{source="certificates"} 0' in text


@pytest.mark.parametrize("certificate", ["front_identity", "monitor"])
def test_the_end_of_what_others_know_a_host_by_is_said(
    certificate: str, program: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = elsewhere / "shown.pem"
    now = datetime.now(UTC)
    issued = issue(authority_in(elsewhere / "made", "fleet", now), ["a-name"], now, FOR_FRONTS)
    path.write_text(issued[: issued.index("-----BEGIN PRIVATE KEY")])
    name = f'fortyninety_certificate_expiry_timestamp_seconds{{certificate="{certificate}"}}'
    known = {"cards": 0, "certificates": {certificate: str(path), "other": "/etc/passwd"}}
    text = read(program, known)
    assert f"{name} {ends_at(issued)}\n" in text and 'certificate="other"' not in text
    assert 'source_up{source="certificates"} 1' in text
    # One that is not there hides no other.
    for beside in ({"authority": str(elsewhere / "none.pem")}, {"authority": ["x"]}):
        text = read(program, {"cards": 0, "certificates": {certificate: str(path), **beside}})
        assert f"{name} {ends_at(issued)}\n" in text
        up = int(not isinstance(beside["authority"], str))
        assert f'source_up{{source="certificates"}} {up}' in text


def test_the_head_of_a_cell_answers_for_its_members() -> None:
    assert state_of("active", "running", {"port": None}) == "serving"
    assert state_of("activating", "start", {"port": None}) == "starting"
