"""Which of the units that served a rollback goes back to."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import pytest

from fortyninety.on_host.roll_back import MARK, Failure, Unit, target

UNIT = """[Service]
User=vllm
Environment=FORTYNINETY_CONFIGURATION={configuration}
ExecStart={engine}/bin/python \\
    -m \\
    vllm.entrypoints.openai.api_server \\
    --model \\
    {snapshot} \\
    --served-model-name \\
    some/model \\
    --port \\
    8000
"""


class Host:
    """An install directory with environments, a snapshot, and units that served."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.snapshot = root / "models/some/commit"
        for folder in (root / "served", self.snapshot):
            folder.mkdir(parents=True)

    def serve(self, release: str, at: int) -> Unit:
        """Keep a unit, as a deploy does that served at a moment."""
        engine = self.root / "engines" / f"{release}-0123456789ab"
        engine.mkdir(parents=True)
        (engine / MARK).touch()
        text = UNIT.format(configuration="", engine=engine, snapshot=self.snapshot)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self.root / "served" / f"{name}.service"
        path.write_text(UNIT.format(configuration=name, engine=engine, snapshot=self.snapshot))
        os.utime(path, (at, at))
        return Unit(path)

    def back_from(self, now: Unit, engine: str | None = None) -> Unit:
        return target(argparse.Namespace(install_directory=str(self.root), engine=engine), now)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def older(host: Host) -> Unit:
    return host.serve("0.6.3.post1", 1)


@pytest.fixture
def before(host: Host) -> Unit:
    return host.serve("0.8.5.post1", 2)


@pytest.fixture
def now(host: Host) -> Unit:
    return host.serve("0.32.0", 3)


def change(unit: Unit, found: str, put: str) -> None:
    """Change a unit as an editor does that keeps its time."""
    moment = unit.path.stat().st_mtime
    unit.path.write_text(unit.text.replace(found, put))
    os.utime(unit.path, (moment, moment))


def test_a_unit_says_its_release_snapshot_and_model(host: Host, now: Unit) -> None:
    assert (now.release, now.model) == ("0.32.0", "some/model")
    assert now.configuration == now.path.stem
    assert now.snapshot == str(host.snapshot)
    assert now.obstacle() is None


def test_the_latest_that_is_not_the_one_on_disk_is_taken(
    host: Host, older: Unit, before: Unit, now: Unit
) -> None:
    assert host.back_from(now).path == before.path
    assert host.back_from(now, "0.6.3.post1").path == older.path


def test_a_unit_that_never_served_goes_back_to_the_latest_that_did(
    host: Host, before: Unit, now: Unit, tmp_path: Path
) -> None:
    on_disk = tmp_path / "vllm.service"
    on_disk.write_text(now.text.replace(now.configuration, "broken"))
    assert host.back_from(Unit(on_disk)).path == now.path


def test_one_that_was_changed_since_is_passed_over(
    host: Host, older: Unit, before: Unit, now: Unit
) -> None:
    change(before, "User=vllm", "User=root")
    assert host.back_from(now).path == older.path


def test_where_the_only_one_was_changed_it_is_named(host: Host, before: Unit, now: Unit) -> None:
    change(before, "ExecStart=", "ExecStartPre=+/bin/sh -c id\nExecStart=")
    with pytest.raises(Failure, match=rf"{before.path.name} is no longer as the deploy wrote it"):
        host.back_from(now)


@pytest.mark.parametrize("gone", ["engines/0.8.5.post1-0123456789ab", "models/some/commit"])
def test_one_without_its_environment_or_snapshot_says_which_is_gone(
    host: Host, before: Unit, now: Unit, gone: str
) -> None:
    (host.root / gone).rename(host.root / "elsewhere")
    with pytest.raises(Failure, match=rf"0\.8\.5\.post1 served before, and .*{gone} is gone") as no:
        host.back_from(now)
    assert not no.value.changed


def test_a_release_that_did_not_serve_is_refused(host: Host, before: Unit, now: Unit) -> None:
    with pytest.raises(Failure, match=r"no 0\.6\.3\.post1 served here before 0\.32\.0"):
        host.back_from(now, "0.6.3.post1")


def test_with_nothing_else_it_is_said(host: Host, now: Unit) -> None:
    with pytest.raises(Failure, match=r"nothing else served here before 0\.32\.0"):
        host.back_from(now)
