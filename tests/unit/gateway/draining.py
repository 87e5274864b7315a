"""Drain a gateway that runs, by the program that hosts run and with a systemd that only notes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fortyninety.on_host.drain.box import Box
from fortyninety.on_host.drain.timer import Timer
from fortyninety.plan.programs import DRAIN, archive
from tests.unit.gateway.running_gateway import RunningGateway

_SYSTEMCTL = """#!/bin/sh
printf '%s\\n' "$*" >>"$0.said"
"""


class Draining:
    """The program for a gateway, and what it consists of, which is quicker than it starts."""

    def __init__(self, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gateway = gateway
        self.state = gateway.folder / "state/drained.json"
        self.units = gateway.folder / "units"
        self.units.mkdir()
        self._program = gateway.folder / "drain"
        self._program.write_bytes(archive(DRAIN))
        self._commands = gateway.folder / "commands"
        self._commands.mkdir()
        systemctl = self._commands / "systemctl"
        systemctl.write_text(_SYSTEMCTL)
        systemctl.chmod(0o755)
        monkeypatch.setenv("PATH", f"{self._commands}:{os.environ['PATH']}")
        timer = Timer(self.units, self._program)
        self.box = Box(gateway.folder, gateway.control, self.state, timer)

    def begin(self, verb: str, *more: str) -> subprocess.Popen[str]:
        """The program under way."""
        gateway = self.gateway
        return subprocess.Popen(
            [
                *("python3", "-I", str(self._program), verb, *more),
                *("--folder", str(gateway.folder), "--control", str(gateway.control)),
                *("--state", str(self.state), "--units", str(self.units)),
                *("--engine-port", str(gateway.engine.port)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, verb: str, *more: str) -> dict[str, Any]:
        """What it answers."""
        said, complaint = self.begin(verb, *more).communicate()
        assert said, complaint
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def drain(self) -> None:
        """Drain for a minute, waiting for nothing."""
        assert self.box.drain("new fans", "ada@laptop", 60)

    def asked_of_systemd(self) -> list[str]:
        """What systemd was told."""
        said = self._commands / "systemctl.said"
        return said.read_text().splitlines() if said.exists() else []


def for_a_minute(reason: str = "new fans") -> tuple[str, ...]:
    return ("--reason", reason, "--by", "ada@laptop", "--seconds", "60")


def write_state(path: Path, until: Any, **more: Any) -> None:
    """A file as the program writes it, but for its moment."""
    path.parent.mkdir(exist_ok=True)
    page = {"since": 1, "until": until, "reason": "new fans", "by": "ada@laptop", **more}
    path.write_text(json.dumps(page))
