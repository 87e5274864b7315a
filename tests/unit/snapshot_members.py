"""Members of a fleet on this machine: a folder each, the host's real program, real rsync daemons.

Only systemd is missing here, which on a host starts the daemon and ends it.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fortyninety.model.exchange import Exchange, Source
from fortyninety.model.steps import Folders, StepFailed
from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.serve import daemon_configuration
from fortyninety.plan.programs import SNAPSHOT, archive
from tests.unit.serving_hub import REPOSITORY, Hub

# As a deploy puts it onto a host.
PROGRAM = Path(tempfile.mkdtemp(prefix="fortyninety-program-")) / "snapshot"
PROGRAM.write_bytes(archive(SNAPSHOT))
atexit.register(shutil.rmtree, PROGRAM.parent)
PEER_PORT = 18873
# Loopback addresses of this process alone: tests run side by side, each with daemons of its own.
_NETWORK = f"127.{os.getpid() // 250 % 250 + 2}.{os.getpid() % 250 + 2}"
# Tests make no account on the machine that they run on.
ACCOUNT = "nobody"


def start_step(command: str, request: dict[str, Any]) -> subprocess.Popen[str]:
    """A step of the program, as its own process, with its request written to it."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(request))
    process.stdin.close()
    process.stdin = None
    return process


@dataclass
class LocalMember:
    """A host of the fleet, as a folder. `corrupt` flips a byte of this file in what it serves."""

    name: str
    address: str
    root: Path
    corrupt: str | None = None
    before: Callable[[str], None] = lambda command: None
    _daemon: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def model(self) -> Path:
        return self.root / "model"

    def step(self, command: str, request: dict[str, Any], seconds: float = 120) -> object:
        self.before(command)
        if command == "serve":
            return self._serve(request)
        if command in ("keep-serving", "stop-serving"):
            self.stop_serving()
            return {}
        process = start_step(command, {**request, "account": ACCOUNT})
        output, errors = process.communicate(timeout=seconds)
        if process.returncode != 0:
            raise StepFailed(process.returncode, errors.strip().splitlines()[-1])
        answer: object = json.loads(output)
        return answer

    def _serve(self, request: dict[str, Any]) -> dict[str, Any]:
        folder = self.root / "peer"
        export = folder / "export"
        export.mkdir(parents=True)
        published = self.model / request["revision"]
        partial = self.model / f".partial-{published.name}"
        if not request["whole"]:
            partial.mkdir(parents=True, exist_ok=True)
        source = published if request["whole"] or not partial.exists() else partial
        if self.corrupt is None:
            subprocess.run(["mount", "--bind", source, export], check=True)
        else:
            subprocess.run(["cp", "-a", f"{source}/.", export], check=True)
            with (export / self.corrupt).open("r+b") as file:
                byte = file.read(1)
                file.seek(0)
                file.write(bytes([byte[0] ^ 1]))
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text(f"snapshot:{request['secret']}\n")
        configuration = daemon_configuration(
            request,
            address=self.address,
            export=export,
            secret=folder / "secret",
            lock=folder / "lock",
        )
        (folder / "rsyncd.conf").write_text(configuration)
        self._daemon = subprocess.Popen(
            ["rsync", "--daemon", "--no-detach", f"--config={folder}/rsyncd.conf"],
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not self.serves():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return {}

    def serves(self) -> bool:
        """Whether its port is open."""
        try:
            socket.create_connection((self.address, PEER_PORT), timeout=1).close()
        except OSError:
            return False
        return True

    def stop_serving(self) -> None:
        """End the daemon, as its unit ends on a host."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            self._daemon.wait()
            self._daemon = None
        folder = self.root / "peer"
        if self.corrupt is None and folder.exists():
            # A child that still sends to a dead client does not keep the folder.
            subprocess.run(["umount", "--lazy", folder / "export"], check=True)
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True)


MakeMembers = Callable[[int], list[LocalMember]]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[MakeMembers]:
    """Make hosts; whatever they still serve ends with the test."""
    made: list[LocalMember] = []

    def make(count: int) -> list[LocalMember]:
        for number in range(len(made), len(made) + count):
            root = tmp_path / f"box{number}"
            root.mkdir()
            made.append(LocalMember(f"box{number}", f"{_NETWORK}.{number + 1}", root))
        return made[-count:]

    yield make
    for member in made:
        member.stop_serving()


def source_of(hub: Hub, **changes: Any) -> Source:
    """The hub's repository, with little patience."""
    values = {"endpoint": hub.endpoint, "revision": hub.commit, "patience": 3.0, **changes}
    return Source(repository=REPOSITORY, **values)


def files_of(hub: Hub) -> list[File]:
    """The trusted list of the hub's repository."""
    folder = hub.root / REPOSITORY
    contents = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return [
        File(path, len(content), hashlib.sha256(content).hexdigest(), None)
        for path, content in contents.items()
    ]


def exchange_of(
    hub: Hub, report: Callable[[str, str], None] = lambda host, line: None, **changes: Any
) -> Exchange:
    """An exchange whose first copy comes from the hub."""
    return Exchange(
        files_of(hub),
        source_of(hub, **changes),
        port=PEER_PORT,
        addresses=["127.0.0.1"],
        report=report,
    )


def supply(exchange: Exchange, *fleet: LocalMember, empty: bool = False) -> dict[str, str]:
    """Supply members side by side, as a run does; what went wrong, by name."""
    failed: dict[str, str] = {}
    if empty:
        names = [member.name for member in fleet]
        exchange.expect(names, empty=names)

    def one(member: LocalMember) -> None:
        try:
            exchange.supply(member, Folders(str(member.model)), empty=empty)
        except Exception as error:
            failed[member.name] = str(error)

    threads = [threading.Thread(target=one, args=(member,)) for member in fleet]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive(), "a member waits for ever"
    return failed
