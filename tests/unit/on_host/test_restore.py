"""What is put back where a new engine fails, what is not, and what is said of both."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fortyninety.on_host import roll_back
from fortyninety.on_host.restore import __main__ as program
from fortyninety.on_host.restore import lease, restoring
from fortyninety.on_host.roll_back import MARK, Unit
from fortyninety.plan.programs import RESTORE, archive

RUN, OTHER_RUN = "0123456789abcdef", "fedcba9876543210"
CAUSE = "vllm.service does not stay up: ValueError: To serve at least one request"
UNIT = """[Service]
Environment=FORTYNINETY_CONFIGURATION={configuration}
ExecStart={engine}/bin/python \\
    --model \\
    {snapshot} \\
    --served-model-name \\
    some/model \\
    --port \\
    {port}
"""


class Host:
    """A host's folders, its units, and tools that note how they were called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unit = root / "vllm.service"
        self.note = root / "state/failed-gate.json"
        self.calls = root / "calls"
        self.calls.touch()
        self.snapshot = root / "models/commit"
        for folder in ("served", "models/commit", "bin", "tools", "run", "engines"):
            (root / folder).mkdir(parents=True)
        self.tool("tools/systemctl", f'echo systemctl "$@" >>{self.calls}')
        self.asked(0)

    def tool(self, name: str, script: str) -> None:
        (self.root / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.root / name).chmod(0o755)

    def asked(self, ends_with: int, says: str = "") -> None:
        """How the program that asks the engine of a unit that was put back ends."""
        (self.root / "bin/complete").write_text(
            f"import sys\nopen({str(self.calls)!r}, 'a').write('asked ' + ' '.join(sys.argv[1:])"
            f" + '\\n')\nprint({says!r}, file=sys.stderr)\nsys.exit({ends_with})\n"
        )

    def text(self, release: str, port: int) -> tuple[str, str]:
        engine = self.root / "engines" / f"{release}-0123456789ab"
        engine.mkdir(exist_ok=True)
        (engine / MARK).touch()
        values = {"engine": engine, "snapshot": self.snapshot, "port": port}
        plain = UNIT.format(configuration="", **values)
        name = hashlib.sha256(plain.encode()).hexdigest()[:16]
        return name, UNIT.format(configuration=name, **values)

    def served(self, release: str, at: int, port: int = 8000) -> Path:
        name, text = self.text(release, port)
        path = self.root / "served" / f"{name}.service"
        path.write_text(text)
        os.utime(path, (at, at))
        return path

    def deployed(self, release: str, port: int = 8000) -> str:
        """Have the unit on disk be of this release; return its configuration."""
        name, text = self.text(release, port)
        self.unit.write_text(text)
        return name

    def run(self, *command: str, answered: bool = True) -> int:
        arguments = [
            *("--install-directory", str(self.root), "--unit", str(self.unit)),
            *("--port", "8000", "--wait", "5", "--run", RUN, "--note", str(self.note)),
            *(("--answered",) if answered else ()),
            *("--", *command),
        ]
        before, sys.argv = sys.argv, ["restore", *arguments]
        try:
            return program.main()
        finally:
            sys.argv = before

    @contextmanager
    def lease_of(self, run: str) -> Iterator[None]:
        """While a run holds the host's lease."""
        (self.root / "run/holder").write_text(f"1 1764115200 {run} held alice@laptop deploy\n")
        with (self.root / "run/lease").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/tools:{os.environ['PATH']}")
    monkeypatch.setattr(lease, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(roll_back, "LOCK", tmp_path / "run/rollback")
    return host


FAILS = ("sh", "-c", f"echo '{CAUSE}' >&2; echo 'More: journalctl' >&2; exit 1")


def test_an_engine_that_does_not_end_is_killed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.served("0.8.5.post1", 1)
    host.deployed("0.32.0")
    hangs = f'echo systemctl "$@" >>{host.calls}; [ "$1" != stop ] || exec sleep 600'
    host.tool("tools/systemctl", hangs)
    monkeypatch.setattr(restoring, "PATIENCE", 0.5)
    with host.lease_of(RUN):
        assert host.run(*FAILS) == 1
    calls = host.calls.read_text().splitlines()
    assert calls.index("systemctl kill --signal=SIGKILL vllm.service") == (
        calls.index("systemctl restart vllm.service") - 1
    )


def noted(host: Host) -> dict[str, object]:
    found: dict[str, object] = json.loads(host.note.read_text())
    return found


def test_a_command_that_succeeds_changes_nothing(host: Host) -> None:
    host.served("0.8.5.post1", 1)
    host.deployed("0.32.0")
    text = host.unit.read_text()
    assert host.run("true") == 0
    assert (host.unit.read_text(), host.calls.read_text()) == (text, "")
    assert not host.note.exists()


def test_one_that_fails_has_what_served_put_back_and_says_both(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    before = host.served("0.8.5.post1", 1)
    failed = host.deployed("0.32.0")
    with host.lease_of(RUN):
        assert host.run(*FAILS) == 1
    assert host.unit.read_text() == before.read_text()
    assert (host.root / "engines/current").readlink().name == "0.8.5.post1-0123456789ab"
    assert "systemctl restart vllm.service" in host.calls.read_text()
    first, more, last = capfd.readouterr().err.splitlines()
    assert (first, more) == (CAUSE, "More: journalctl")
    assert last.startswith(
        f"{CAUSE}; put back: 0.8.5.post1 (configuration {before.stem}), which served at "
        "1970-01-01 00:00:01 UTC, serves again since "
    )
    assert (noted(host)["configuration"], noted(host)["cause"]) == (failed, CAUSE)


def test_it_is_asked_at_its_own_port(host: Host) -> None:
    host.served("0.8.5.post1", 1, port=8123)
    host.deployed("0.32.0", port=8000)
    host.run(*FAILS)
    assert "--port 8123 " in host.calls.read_text()


def test_a_note_goes_when_its_configuration_serves(host: Host) -> None:
    host.served("0.8.5.post1", 1)
    host.deployed("0.32.0")
    host.run(*FAILS)
    host.deployed("0.33.0")
    assert host.run("true") == 0 and host.note.exists()
    host.deployed("0.32.0")
    # As a restart is that only started a process.
    assert host.run("true", answered=False) == 0 and host.note.exists()
    assert host.run("true") == 0 and not host.note.exists()


def test_what_is_put_back_and_does_not_serve_is_said_with_both_causes(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.served("0.8.5.post1", 1)
    host.deployed("0.32.0")
    host.asked(1, says="vllm.service does not stay up: no card")
    assert host.run(*FAILS) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last == (
        f"{CAUSE}; was put back and does not serve: 0.8.5.post1 is in place again; "
        "vllm.service does not stay up: no card"
    )


def test_where_nothing_served_before_nothing_is_added(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.deployed("0.32.0")
    assert host.run(*FAILS) == 1
    assert capfd.readouterr().err.splitlines() == [CAUSE, "More: journalctl"]
    assert host.calls.read_text() == ""


def test_the_latest_that_served_is_not_replaced_by_an_older_one(host: Host) -> None:
    """Its unit is not what is new."""
    host.served("0.8.5.post1", 1)
    host.served("0.32.0", 2)
    host.deployed("0.32.0")
    assert host.run(*FAILS) == 1
    assert host.calls.read_text() == ""


def test_going_back_by_settings_that_fails_returns_to_the_later_one(host: Host) -> None:
    host.served("0.8.5.post1", 1)
    later = host.served("0.32.0", 2)
    host.deployed("0.8.5.post1")
    assert host.run(*FAILS) == 1
    assert Unit(host.unit).configuration == later.stem


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("served", "is no longer as the deploy wrote it"),
        ("models", "models/commit is gone"),
    ],
)
def test_what_is_not_intact_is_not_put_back(
    host: Host, capfd: pytest.CaptureFixture[str], spoil: str, says: str
) -> None:
    kept = host.served("0.8.5.post1", 1)
    failed = host.deployed("0.32.0")
    if spoil == "served":
        kept.write_text(f"{kept.read_text()}User=root\n")
    else:
        host.snapshot.rmdir()
    assert host.run(*FAILS) == 1
    assert Unit(host.unit).configuration == failed
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{CAUSE}; nothing was put back: ") and says in last


def test_a_run_that_is_gone_changes_nothing_that_another_one_has(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.served("0.8.5.post1", 1)
    failed = host.deployed("0.32.0")
    with host.lease_of(OTHER_RUN):
        assert host.run(*FAILS) == 1
    assert Unit(host.unit).configuration == failed and host.calls.read_text() == ""
    assert "nothing was put back: another run changes this host by now" in capfd.readouterr().err


def test_nor_what_another_one_has_put_in_place(
    host: Host, capfd: pytest.CaptureFixture[str]
) -> None:
    host.served("0.8.5.post1", 1)
    host.deployed("0.32.0")
    _, text = host.text("0.33.0", 8000)
    (host.root / "next").write_text(text)
    command = f"cp {host.root}/next {host.unit}; echo '{CAUSE}' >&2; exit 1"
    assert host.run("sh", "-c", command) == 1
    assert host.unit.read_text() == text and host.calls.read_text() == ""
    assert "another unit was put in its place meanwhile" in capfd.readouterr().err


def test_it_is_one_file_that_runs_by_its_path_alone(host: Host) -> None:
    path = host.root / "bin/restore"
    path.write_bytes(archive(RESTORE))
    host.deployed("0.32.0")
    ran = subprocess.run(
        [
            *(sys.executable, "-I", path, "--install-directory", host.root, "--unit", host.unit),
            *("--port", "8000", "--wait", "5", "--run", RUN, "--note", host.note, "--", "true"),
        ],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
