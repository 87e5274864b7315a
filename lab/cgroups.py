"""One control group per lab process tree, so that a tree can be found and ended whole.

A pid file can lie after a crash and grandchildren escape a process group. A control group holds
every descendant, survives whoever made it, and `cgroup.kill` (Linux 5.14) ends all of it at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

# One for each lab of a machine (bin/lab-beside).
PARENT = os.environ.get("FORTYNINETY_LAB_GROUP", "fortyninety-lab")
# Killing is immediate; what takes time is the kernel tearing down namespaces and mounts.
_DEATH_SECONDS = 20.0
# The controllers a host's systemd can use for its units, when the outer machine has them in v2.
_DELEGATED = ("cpu", "io", "memory", "pids")


def hierarchies() -> list[Path]:
    """Every mounted hierarchy: one on a pure cgroup2 machine, many on a hybrid one."""
    return [mount for mount, _ in _mounts()]


def unified_root() -> Path:
    """Where cgroup2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on a hybrid machine."""
    for mount, kind in _mounts():
        if kind == "cgroup2":
            return mount
    raise LabError("no cgroup2 hierarchy is mounted: `mount -t cgroup2 none /sys/fs/cgroup`")


def spawn(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start a long-running command inside the control group NAME, its output appended to LOG.

    The shell moves itself before it becomes the command, so there is no moment in which the
    command runs outside the group. `setsid --fork` hands the command to the machine's init, so it
    outlives the caller and leaves it no dead child to reap.
    """
    group = _create(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    enter = 'echo 0 > "$0" && exec setsid --fork "$@"'
    with log.open("ab") as output:
        started = subprocess.run(
            ["sh", "-c", enter, str(group / "cgroup.procs"), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    if started.returncode != 0:
        raise LabError(f"{name} could not be started in {group}: see {log}")


def run_inside(name: str, command: Sequence[str], *, log: Path) -> int:
    """Run a command inside the control group NAME and return its exit code; output goes to LOG.

    If the caller is killed the command goes on, and `kill` still finds it.
    """
    group = _create(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        return subprocess.run(
            ["sh", "-c", 'echo 0 > "$0" && exec "$@"', str(group / "cgroup.procs"), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode


def alive(name: str) -> bool:
    """Whether any process lives in the group NAME or below it."""
    try:
        events = (unified_root() / PARENT / name / "cgroup.events").read_text()
    except FileNotFoundError:
        return False
    return "populated 1" in events.splitlines()


def names() -> list[str]:
    """The groups the lab has made, alive or empty."""
    parent = unified_root() / PARENT
    if not parent.is_dir():
        return []
    return sorted(child.name for child in parent.iterdir() if child.is_dir())


def processes(name: str) -> list[int]:
    """Every process id in the group NAME and below it."""
    found: list[int] = []
    for members in (unified_root() / PARENT / name).rglob("cgroup.procs"):
        # A group may vanish between the listing and the reading.
        with contextlib.suppress(OSError):
            found += [int(line) for line in members.read_text().split()]
    return found


def kill(name: str) -> None:
    """End every process of the group NAME and remove it from every hierarchy."""
    group = unified_root() / PARENT / name
    deadline = time.monotonic() + _DEATH_SECONDS
    while alive(name):
        _send_kill(group, name)
        if time.monotonic() > deadline:
            raise LabError(
                f"processes {processes(name)} of {name} do not end when killed: "
                "look at what they wait for in /proc/PID/stack"
            )
        time.sleep(0.01)
    for hierarchy in hierarchies():
        _remove_tree(hierarchy / PARENT / name)


def remove_parent() -> None:
    """Remove the lab's own group from every hierarchy; every named group must be gone."""
    for hierarchy in hierarchies():
        _remove_tree(hierarchy / PARENT)


def _mounts() -> list[tuple[Path, str]]:
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            found.append((Path(mount), kind))
    return found


def _create(name: str) -> Path:
    root = unified_root()
    group = root / PARENT / name
    group.mkdir(parents=True, exist_ok=True)
    for level in (root, root / PARENT):
        available = (level / "cgroup.controllers").read_text().split()
        for controller in _DELEGATED:
            if controller in available:
                # Refused where processes sit beside the group; the hosts then go without limits.
                with contextlib.suppress(OSError):
                    (level / "cgroup.subtree_control").write_text(f"+{controller}")
    return group


def _send_kill(group: Path, name: str) -> None:
    try:
        (group / "cgroup.kill").write_text("1")
    except OSError:
        for process in processes(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _remove_tree(group: Path) -> None:
    if not group.is_dir():
        return
    for child in group.iterdir():
        if child.is_dir():
            _remove_tree(child)
    deadline = time.monotonic() + _DEATH_SECONDS
    while True:
        try:
            group.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            # A just-killed process is counted until it is reaped.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
