#!/usr/bin/env python3
"""Go back to the unit that served before the one on disk, and prove that it serves.

Units that passed the gate of a deploy are kept in `<install directory>/served`. The latest of them
that is not the unit on disk, that is as the deploy wrote it, and whose environment and snapshot are
still there, is put in its place by one rename, and the service is restarted. Nothing is changed
where there is none.

Whoever asks for it holds the host's lease (hold_lease.sh). Until the service is restarted this
program has a lock of its own beside it as well: it goes on when whoever asked for it is gone, and
nobody may change the host meanwhile.

Prints one JSON object: `from`, `to` and `seconds`, or `error` in one line and `details` in others,
and `changed` for whether anything was. Always ends with 0. Python 3.10, no packages.

    roll-back --install-directory /opt/fortyninety --unit /etc/systemd/system/vllm.service \\
        --port 8000 --wait 1800
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MARK = ".fortyninety-complete"
# Looked at by hold_lease.sh, whose folder it is.
LOCK = Path("/run/fortyninety/rollback")
# A member of a cell ends when another does, and the others may not have been restarted yet.
MEMBER_RESTARTS = 3
# Lines below the cause that are handed on.
MOST_DETAILS = 5


class Failure(Exception):
    """Why there was no rollback, or why it does not serve. `changed` says which of the two."""

    def __init__(self, message: str, changed: bool = False, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.changed = changed
        self.details = details


class Unit:
    """A unit file, and what it says of its engine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(errors="replace")
        self.configuration = self._find(r"^Environment=FORTYNINETY_CONFIGURATION=(\S+)")
        self.engine = self._find(r"^ExecStart=(\S+)/bin/\S+")
        self.snapshot = self._find(r"^\s*(?:.*\s)?--model \\?\s*(\S+)")
        self.model = self._find(r"--served-model-name \\?\s*(\S+)")
        self.port = self._find(r"^\s*(?:.*\s)?--port \\?\s*(\d{1,5})\b")
        self.needs = self._find(r"^Requires=(\S+)")
        # Of a cell: it answers nobody itself, and ends whenever another member does.
        self.headless = re.search(r"^\s*--headless\b", self.text, re.MULTILINE) is not None
        self.restarts = MEMBER_RESTARTS if self._find(r"^\s*(--cell)\b") else 0
        self.served_at = int(path.stat().st_mtime)

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, self.text, re.MULTILINE)
        return found[1] if found else ""

    @property
    def release(self) -> str:
        """The engine's release: its folder's name without the hash of its lock."""
        return self.engine.rpartition("/")[2].rpartition("-")[0]

    @property
    def intact(self) -> bool:
        """Whether it is as a deploy wrote it: its configuration is a digest of the rest of it."""
        plain = self.text.replace(self.configuration, "") if self.configuration else self.text
        return hashlib.sha256(plain.encode()).hexdigest()[:16] == self.configuration

    def obstacle(self) -> str | None:
        """Why there is no going back to the unit, or None."""
        if not self.intact:
            return f"{self.path} is no longer as the deploy wrote it"
        needed = {
            self.engine: Path(self.engine, MARK).exists(),
            self.snapshot: Path(self.snapshot).is_dir(),
        }
        if self.needs:
            needed[self.needs] = Path("/etc/systemd/system", self.needs).exists()
        return next((f"{each} is gone" for each, there in needed.items() if not there), None)

    def described(self) -> dict[str, Any]:
        """For the operator."""
        return {
            "release": self.release,
            "configuration": self.configuration,
            "engine": self.engine,
            "snapshot": self.snapshot,
        }


def target(options: argparse.Namespace, now: Unit) -> Unit:
    """The unit to go back to. Raises Failure where there is none."""
    kept = [Unit(path) for path in Path(options.install_directory, "served").glob("*.service")]
    others = sorted(
        (unit for unit in kept if unit.configuration != now.configuration),
        key=lambda unit: unit.served_at,
        reverse=True,
    )
    if options.engine:
        others = [unit for unit in others if unit.release == options.engine]
    whole = [unit for unit in others if unit.obstacle() is None]
    if whole:
        return whole[0]
    if others:
        raise Failure(f"{others[0].release} served before, and {others[0].obstacle()}")
    which = f"no {options.engine}" if options.engine else "nothing else"
    raise Failure(f"{which} served here before {now.release} (configuration {now.configuration})")


def point(link: Path, to: str) -> None:
    """Switch a link by one rename."""
    with own_folder(link) as folder:
        beside = folder / link.name
        beside.symlink_to(to)
        beside.replace(link)
    to_disk(link.parent)


@contextmanager
def own_folder(path: Path) -> Iterator[Path]:
    """A folder of one's own beside a path, for what is renamed to it."""
    prefix = f".{path.name}.fortyninety-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
        yield Path(folder)


def to_disk(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone() -> Iterator[None]:
    """While nobody else may take the host's lease. Raises Failure where another one is at work."""
    LOCK.parent.mkdir(mode=0o755, exist_ok=True)
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Failure("another rollback is at work here; it ends by itself") from error
    try:
        yield
    finally:
        os.close(descriptor)


def systemctl(*words: str) -> None:
    """Run systemctl. Raises Failure with what it says."""
    done = subprocess.run(
        ["systemctl", *words], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise Failure(f"systemctl {' '.join(words)}: {done.stderr.strip()}", changed=True)


def switch(unit: Unit, to: Unit, *, patience: float | None = None) -> None:
    """Put the text of `to` in the place of `unit`, and restart the service. Raises Failure.

    What runs has so many seconds to end in, or what its unit gives it.
    """
    with own_folder(unit.path) as folder:
        beside = folder / unit.path.name
        shutil.copyfile(to.path, beside)
        beside.chmod(0o644)
        to_disk(beside)
        beside.replace(unit.path)
    to_disk(unit.path.parent)
    point(Path(to.engine).with_name("current"), to.engine)
    point(Path(to.snapshot).with_name("current"), to.snapshot)
    systemctl("daemon-reload")
    subprocess.run(["systemctl", "reset-failed", unit.path.name], capture_output=True, check=False)
    if patience is not None:
        end_within(patience, unit.path.name)
    systemctl("restart", unit.path.name)


def end_within(seconds: float, service: str) -> None:
    """Stop a service, and kill what has not ended by then."""
    try:
        subprocess.run(
            ["systemctl", "stop", service], capture_output=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        # The job goes on, and is over with the last process.
        systemctl("kill", "--signal=SIGKILL", service)


def answers(options: argparse.Namespace, to: Unit) -> None:
    """Wait for a completion. Raises Failure without one."""
    done = subprocess.run(
        [
            *("python3", f"{options.install_directory}/bin/complete"),
            *("--port", to.port or str(options.port), "--model", to.model),
            *("--wait", str(options.wait), "--unit", Path(options.unit).name),
            *("--restarts", str(to.restarts), *(["--headless"] * to.headless)),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        # The program is that of the latest deploy; an older one says why on standard output.
        said = f"{done.stdout}{done.stderr}".strip().splitlines()
        cause, *details = said or ["the program that asks for a completion says nothing"]
        raise Failure(
            f"{to.release} is in place again; {cause}",
            changed=True,
            details=tuple(details[:MOST_DETAILS]),
        )


def roll_back(options: argparse.Namespace) -> dict[str, Any]:
    """What was done. Raises Failure."""
    if not Path(options.unit).exists():
        raise Failure(f"there is no {options.unit}: nothing was deployed here")
    began = time.monotonic()
    with alone():
        now = Unit(Path(options.unit))
        to = target(options, now)
        switch(now, to)
    answers(options, to)
    # The latest that served, so that another rollback comes back to where this one began.
    os.utime(to.path)
    seconds = round(time.monotonic() - began, 1)
    return {
        "from": now.described(),
        "to": {**to.described(), "served_until": to.served_at},
        "seconds": seconds,
        "changed": True,
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--install-directory", required=True)
    parser.add_argument("--unit", required=True, help="the unit on disk")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--wait", type=int, required=True, help="seconds for the first answer")
    parser.add_argument("--engine", help="go back to the latest unit of this release")
    options = parser.parse_args()
    try:
        result = roll_back(options)
    except Failure as failure:
        result = {
            "error": str(failure),
            "details": failure.details,
            "changed": failure.changed,
        }
    except OSError as error:
        result = {"error": str(error), "details": [], "changed": True}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
