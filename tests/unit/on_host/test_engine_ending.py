"""What the unit says by itself of an engine that ended, in the journal and in its status."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from tests.unit.on_host.test_engine_failure import (
    BEFORE,
    NOW,
    STOPPING,
    Host,
    exited,
    host,
    said,
    systemd,
)

__all__ = ["host"]

OUT_OF_MEMORY = (
    "Traceback (most recent call last):",
    '  File "worker.py", line 1, in execute_model',
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 434.00 MiB.",
)
CAUSE = "OutOfMemoryError: CUDA out of memory. Tried to allocate 434.00 MiB."
REMEDY = "Set max_num_batched_tokens = 2048"


@pytest.fixture(autouse=True)
def _started_by_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOCATION_ID", NOW)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)


def ending(host: Host) -> list[str]:
    ran = host._run("engine-failure", "--unit", "vllm.service", "--ending")
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def status(host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What systemd is told, which closes the descriptor that it is sent."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(30)

        def listen() -> None:
            while True:
                data, descriptors, _, _ = socket.recv_fds(listener, 4096, 1)
                for descriptor in descriptors:
                    os.close(descriptor)
                if data == b"END":
                    return
                heard.append(data.decode())

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        ran = host._run("engine-failure", "--unit", "vllm.service", "--before")
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
        listener.sendto(b"END", str(path))
        listening.join()
    return heard


def test_an_engine_that_a_prompt_ended_says_so_with_what_to_do(host: Host) -> None:
    host.entries = [*said(*OUT_OF_MEMORY), *exited()[:1]]
    first, second = ending(host)
    assert first == f"the engine ended: {CAUSE}"
    assert second.startswith(REMEDY)


def test_an_engine_that_was_stopped_has_nothing_to_explain(host: Host) -> None:
    host.entries = [*said(*OUT_OF_MEMORY), systemd(STOPPING), *exited("15", "killed")[:1]]
    assert "".join(ending(host)) == ""


def test_what_an_earlier_start_died_of_is_not_this_ones(host: Host) -> None:
    host.entries = [*said(*OUT_OF_MEMORY, invocation=BEFORE), *exited(invocation=BEFORE)]
    host.entries += exited("1", time=9)[:1]
    (line,) = ending(host)
    assert "out of memory" not in line


def test_the_next_start_shows_what_ended_the_one_before(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host.entries = [*said(*OUT_OF_MEMORY, invocation=BEFORE, time=60)]
    host.entries += [*exited(invocation=BEFORE, time=61), *said("INFO starting", time=70)]
    shown, barrier = status(host, monkeypatch, tmp_path)
    assert shown.startswith(f"STATUS=the start before ended at 00:01 UTC: {CAUSE} {REMEDY}")
    assert barrier == "BARRIER=1"


def test_a_start_after_a_stop_shows_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host.entries = [*said("INFO serving", invocation=BEFORE), systemd(STOPPING, BEFORE)]
    host.entries += [*exited("15", "killed", invocation=BEFORE), *said("INFO starting", time=70)]
    assert status(host, monkeypatch, tmp_path) == []
