"""Which of the units that served a rollback goes back to."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import pytest

from fortyninety.on_host.roll_back import MARK, Failure, Unit, target


class Host:
    """An install directory with environments, a snapshot, and units that served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.served = root / "served"
        self.served.mkdir()
        self.snapshot = root / "snapshot"
        self.snapshot.mkdir()

    def serve(self, release: str, at: int) -> Unit:
        """Keep a unit as a deploy does that served at a moment."""
        engine = self.root / "engines" / f"{release}-0123456789ab"
        engine.mkdir(parents=True, exist_ok=True)
        (engine / MARK).touch()
        text = (
            "[Service]\nUser=vllm\nEnvironment=FORTYNINETY_CONFIGURATION={}\n"
            f"ExecStart={engine}/bin/vllm serve \\\n    --model {self.snapshot}\n"
        )
        name = hashlib.sha256(text.format("").encode()).hexdigest()[:16]
        path = self.served / f"{name}.service"
        path.write_text(text.format(name))
        os.utime(path, (at, at))
        return Unit(path)

    def back_from(self, now: Unit, engine: str | None = None) -> Unit:
        return target(argparse.Namespace(install_directory=str(self.root), engine=engine), now)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_latest_that_is_not_the_one_on_disk_is_taken(host: Host) -> None:
    host.serve("0.6.3.post1", 1)
    before = host.serve("0.8.5.post1", 2)
    now = host.serve("0.32.0", 3)
    assert host.back_from(now).path == before.path
    assert host.back_from(now, "0.6.3.post1").release == "0.6.3.post1"


def test_one_that_was_changed_since_is_passed_over(host: Host) -> None:
    older = host.serve("0.6.3.post1", 1)
    before = host.serve("0.8.5.post1", 2)
    now = host.serve("0.32.0", 3)
    before.path.write_text(before.text.replace("User=vllm", "User=root"))
    os.utime(before.path, (2, 2))
    assert host.back_from(now).path == older.path


def test_where_the_only_one_was_changed_it_is_named(host: Host) -> None:
    before = host.serve("0.8.5.post1", 2)
    now = host.serve("0.32.0", 3)
    before.path.write_text(before.text + "ExecStartPre=+/bin/sh -c id\n")
    with pytest.raises(Failure, match=rf"{before.path.name} is no longer as the deploy wrote it"):
        host.back_from(now)


def test_one_whose_environment_is_gone_is_named_with_it(host: Host) -> None:
    before = host.serve("0.8.5.post1", 2)
    now = host.serve("0.32.0", 3)
    Path(before.engine, MARK).unlink()
    with pytest.raises(Failure, match=r"0\.8\.5\.post1 served before, and \S+ is gone"):
        host.back_from(now)


def test_with_nothing_else_it_is_said(host: Host) -> None:
    now = host.serve("0.32.0", 3)
    with pytest.raises(Failure, match=r"nothing else served here before 0\.32\.0"):
        host.back_from(now)
