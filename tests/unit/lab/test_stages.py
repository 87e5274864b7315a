"""A deploy is followed from what it prints: its stages, its log, and its end by Ctrl-C."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import stages
from lab.stages import Operation, deploy

# What pyinfra prints around operations, with its padding.
PRINTED = """\
--> Starting operation: Driver | Install driver 550 and its packages
    [lab1] Success
--> Starting operation: Driver | Pin and hold its packages
    [lab1] No changes

--> Starting operation: CUDA | Install the toolkit
    [lab1] Success
"""


def printing(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a program of the test's own take pyinfra's place, which needs hosts."""
    monkeypatch.setattr(stages, "deploy_command", lambda *_: [sys.executable, "-uc", script])


def test_stages_and_operations_are_told_as_they_come_and_everything_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printing(f"print({PRINTED!r}, end=''); raise SystemExit(3)", monkeypatch)
    begun: list[Operation] = []
    ended: list[str] = []
    ran = deploy(
        "inventory.py",
        on_operation=begun.append,
        on_stage=lambda stage, seconds: ended.append(stage),
        log=tmp_path / "demo.log",
    )
    assert ran.exit_code == 3
    assert [operation.stage for operation in begun] == ["Driver", "Driver", "CUDA"]
    assert begun[0].name == "Install driver 550 and its packages"
    assert ended == list(ran.seconds) == ["Preflight", "Driver", "CUDA"]
    assert ran.output == (tmp_path / "demo.log").read_text() == PRINTED


def test_an_interrupted_deploy_is_ended_and_its_log_holds_what_was_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printing(
        "import os, signal, time\n"
        # Whoever runs these tests may have been started with Ctrl-C ignored, which is inherited.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"print({PRINTED!r}, os.getpid(), flush=True)\ntime.sleep(600)",
        monkeypatch,
    )
    log = tmp_path / "demo.log"

    def stop(operation: Operation) -> None:
        if operation.stage == "CUDA":
            # What Ctrl-C raises, as where only this process is told to stop.
            raise KeyboardInterrupt

    began: list[int] = []
    popen = subprocess.Popen.__init__

    def remembered(self: subprocess.Popen[str], *arguments: object, **named: object) -> None:
        popen(self, *arguments, **named)  # type: ignore[arg-type]
        began.append(self.pid)

    monkeypatch.setattr(subprocess.Popen, "__init__", remembered)
    with pytest.raises(KeyboardInterrupt):
        deploy("inventory.py", on_operation=stop, log=log)
    with pytest.raises(ProcessLookupError):
        os.kill(began[0], 0)
    assert "CUDA | Install the toolkit" in log.read_text()
