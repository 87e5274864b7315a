"""Run a deploy or a rollback of some hosts of a rollout, each in a process of its own.

Readings of a run go stale by its tenth box, and a run that ends leaves nothing behind. What such a
process says goes into a file, so that it goes on where whoever began it is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fortyninety.rollout.phases import Phase
from fortyninety.text.printable import printable

# Locked while a command runs, in the folder of its rollout.
UNDER_WAY = "under-way"
# Seconds between two looks at what it says.
INTERVAL = 0.5
LARGEST_ANSWER = 16 * 1024 * 1024
LONGEST_WHY = 400
# As pyinfra announces the operations that begin a phase. A deploy is draining until then: what it
# does before restarts nothing.
_BEGINS = re.compile(r"operation: (?P<begins>Service \| Run what|Gate \|)")
_PHASES = {"Service | Run what": Phase.CHANGING, "Gate |": Phase.GATE}


@dataclass(frozen=True)
class CommandEnd:
    """How it ended: its exit code, and why each host failed; "" for those that did not."""

    code: int
    hosts: Mapping[str, str]


class FleetCommands:
    """The commands of this installation, over an inventory."""

    def __init__(self, inventory: str) -> None:
        self._inventory = inventory

    def deploy(
        self, hosts: Iterable[str], log: Path, told: Callable[[Phase], None], *, prepare: bool
    ) -> CommandEnd:
        """Deploy to these hosts and no others; `told` is called as it comes to a phase."""
        names, only = list(hosts), ["--prepare"] if prepare else []
        run = _run(["deploy", self._inventory, "--yes", *only], names, log, told)
        return _ended(run, names, lambda host: host.get("deployed") is True)

    def rollback(self, hosts: Iterable[str], log: Path) -> CommandEnd:
        """Put back what these hosts served."""
        names = list(hosts)
        run = _run(["rollback", self._inventory], names, log, lambda phase: None)
        return _ended(run, names, lambda host: "error" not in host)


class FleetRollbacks(FleetCommands):
    """The same, where what is brought to a box is what it served before.

    `drained` are the boxes that can be drained: a rollback by itself ends what is under way.
    """

    def __init__(self, inventory: str, rollout: str, drained: Iterable[str]) -> None:
        super().__init__(inventory)
        self._reason, self._drained = f"rollback of rollout {rollout}", frozenset(drained)

    def deploy(
        self, hosts: Iterable[str], log: Path, told: Callable[[Phase], None], *, prepare: bool
    ) -> CommandEnd:
        """Put back what these hosts served. What it was is on each of them: nothing is prepared."""
        names = list(hosts)
        if prepare:
            return CommandEnd(0, dict.fromkeys(names, ""))
        drained = [name for name in names if name in self._drained]
        if drained:
            # What is still open after its wait ends with the engine, as in a deploy.
            words = ["drain", self._inventory, *drained, "--reason", self._reason, "--force"]
            _run(words, (), log.with_suffix(".drain.log"), told)
        told(Phase.CHANGING)
        try:
            return self.rollback(names, log)
        finally:
            if drained:
                words = ["undrain", self._inventory, *drained]
                _run(words, (), log.with_suffix(".undrain.log"), told)


def _run(
    arguments: list[str], names: Iterable[str], log: Path, told: Callable[[Phase], None]
) -> tuple[int, str]:
    """Run it to its end; its exit code and its answer."""
    limits = [word for name in names for word in ("--limit", name)]
    command = [sys.executable, "-P", "-m", "fortyninety", *arguments, "--json", *limits]
    answer = log.with_suffix(".json")
    with _locked(log.parent) as lock, log.open("wb") as said, answer.open("wb") as answered:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answered,
            stderr=said,
            # Ctrl-C ends the rollout after what it has begun, which this is.
            start_new_session=True,
            # It has the lock for as long as it runs, also where who began it is gone.
            pass_fds=(lock,),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        read = 0
        while process.poll() is None:
            time.sleep(INTERVAL)
            read = _tell(log, read, told)
    with answer.open("rb") as stream:
        return process.returncode, stream.read(LARGEST_ANSWER).decode(errors="replace")


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Keep others from beginning something for this rollout."""
    lock = os.open(folder / UNDER_WAY, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def wait_until_over(folder: Path, say: Callable[[], None]) -> None:
    """Wait for what a controller that is gone began and its process goes on with; `say` so first.

    It is that machine's processes that are waited for. On another one its leases tell of them.
    """
    with suppress(FileNotFoundError):
        lock = os.open(folder / UNDER_WAY, os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say()
                fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os.close(lock)


def _tell(log: Path, read: int, told: Callable[[Phase], None]) -> int:
    with log.open("rb") as stream:
        stream.seek(read)
        whole, _, _ = stream.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        if found := _BEGINS.search(click.unstyle(line)):
            told(_PHASES[found["begins"]])
    return read + len(whole)


def _ended(
    run: tuple[int, str], names: Iterable[str], did: Callable[[dict[str, Any]], bool]
) -> CommandEnd:
    """Say of each host whether it was done there, by the answer and by nothing else."""
    code, text = run
    try:
        page = json.loads(text)
        result, problems = page["result"] or {}, page["problems"]
        done = {each["host"] for each in result.get("hosts", ()) if did(each)}
        why = {each["host"]: each["error"] for each in result.get("hosts", ()) if "error" in each}
        for each in problems:
            why.setdefault(each.get("host", ""), _line(each))
    except (ValueError, KeyError, TypeError, AttributeError):
        done, why = set(), {}
    nothing = why.get("") or next(iter(why.values()), f"it ended with {code} and no answer")
    return CommandEnd(
        code,
        {
            name: "" if name in done else printable(why.get(name, nothing), LONGEST_WHY)
            for name in names
        },
    )


def _line(problem: dict[str, str]) -> str:
    if "message" in problem:
        return problem["message"]
    return f"{problem['subject']} is {problem['found']}; expected {problem['expected']}"
