"""The process that stands in for the model hub on the bridge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from fortyninety.checkout import ROOT
from lab import cgroups, paths
from lab.errors import LabError
from lab.progress import step

_CONTROL_GROUP = "hub"
_START_SECONDS = 15.0


def endpoint() -> str:
    """The address hosts are given as their hub."""
    return f"http://{paths.BRIDGE_ADDRESS}:{paths.HUB_PORT}"


def root_directory() -> Path:
    """The repositories that the hub serves."""
    return paths.cache_directory() / "hub"


def access_log() -> Path:
    """Where the hub writes one line a request."""
    return paths.state_directory() / "hub" / "access.log"


def running() -> bool:
    """Whether the hub's process lives."""
    return cgroups.alive(_CONTROL_GROUP)


def up() -> None:
    """Start the hub unless it answers, and make the tiny models that it serves."""
    if running() and _answers():
        return
    down()
    _make_models()
    log = paths.state_directory() / "hub" / "output.log"
    access_log().parent.mkdir(parents=True, exist_ok=True)
    cgroups.spawn(
        _CONTROL_GROUP,
        [
            *(sys.executable, "-m", "lab.hub", "--root", str(root_directory())),
            *("--bind", paths.BRIDGE_ADDRESS, "--port", str(paths.HUB_PORT)),
            *("--access-log", str(access_log())),
        ],
        log=log,
        environment={"PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + _START_SECONDS
    while not _answers():
        if time.monotonic() > deadline or not running():
            raise LabError(f"the lab's hub did not start: see {log}")
        time.sleep(0.02)


def down() -> None:
    """Stop the hub, at once and in the middle of whatever it was sending."""
    cgroups.kill(_CONTROL_GROUP)


def restart() -> None:
    """Stop and start the hub, as a test of an interrupted download needs."""
    down()
    up()


def _make_models() -> None:
    # Made anew each time, in a tenth of a second: one kept from an older lab is another model.
    # Beside and renamed, so that a generator cut off midway leaves no half a model.
    root = root_directory()
    # Under a name of its own: a generator whose `lab up` was killed may still be writing.
    for leftover in root.parent.glob("hub.unfinished*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = root.with_name(f"hub.unfinished-{os.getpid()}")
    with step("making the tiny models"):
        made = subprocess.run(
            [sys.executable, "-m", "lab.tiny_model", "--output", str(unfinished)],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            raise LabError(f"the tiny models could not be made: {made.stderr.strip()}")
    shutil.rmtree(root, ignore_errors=True)
    unfinished.rename(root)


def _answers() -> bool:
    try:
        socket.create_connection((paths.BRIDGE_ADDRESS, paths.HUB_PORT), timeout=1).close()
    except OSError:
        return False
    return True
