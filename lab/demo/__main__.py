"""`bin/demo`: from nothing to an answered chat completion, with the time of every stage."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from lab import hosts
from lab.demo.deploy_failure import find_failure
from lab.demo.host_activity import HostActivity
from lab.demo.screens import (
    INVENTORY,
    log_file,
    print_failure,
    print_stopped,
    print_success,
)
from lab.errors import LabError
from lab.hosts import LabHost
from lab.progress import Activity
from lab.question import ask
from lab.stages import Operation, deploy, fortyninety

QUESTION = "Tell me about the sea."
# Of a check that ended without a report, what it said last.
_REPORT_LINES = 10
console = Console(highlight=False)


class Failed(Exception):
    """Where the demonstration failed, and the lines that say why, the cause first."""

    def __init__(self, where: str, cause: Sequence[str]) -> None:
        super().__init__(where)
        self.where = where
        self.cause = cause


class Timeline:
    """Finished stages as lines with their seconds; the one at work as moving lines on a terminal.

    `at` is what was begun last, for whoever stops it.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.at = ""

    def finished(self, stage: str, seconds: float) -> None:
        """Say that a stage is done."""
        console.print(f"  {stage:<34}{seconds:>8.1f} s")

    def total(self) -> None:
        """Say how long everything took."""
        self.finished("Total", time.monotonic() - self._began)

    def operation(self, operation: Operation, since: float) -> None:
        """Note which operation has begun; a line where there is no terminal."""
        self.at = f"{operation.stage}: {operation.name}"
        if not console.is_terminal:
            console.print(f"  {time.monotonic() - since:7.1f} s  {self.at}", soft_wrap=True)

    @contextmanager
    def stage(self, name: str, detail: Callable[[], str] | None = None) -> Iterator[Activity]:
        """One stage, timed: what moves on a terminal, a line where there is none."""
        began = time.monotonic()
        self.at = name
        with self.shown(name, detail) as activity:
            yield activity
        self.finished(name, time.monotonic() - began)

    @contextmanager
    def shown(self, name: str, detail: Callable[[], str] | None = None) -> Iterator[Activity]:
        """Show what is being done; the block that uses it says what was finished."""
        activity = Activity(name, detail)
        if console.is_terminal:
            with activity.shown(console):
                yield activity
        else:
            console.print(f"  {name} ...")
            yield activity


def main() -> int:
    """Run the demonstration; 0 when the host answered, 1 when it failed, 130 when stopped."""
    timeline = Timeline()
    try:
        _demonstrate(timeline)
    except Failed as failure:
        print_failure(console, failure.where, failure.cause)
        return 1
    except KeyboardInterrupt:
        print_stopped(console, timeline.at)
        return 130
    return 0


def _demonstrate(timeline: Timeline) -> None:
    log = log_file()
    log.unlink(missing_ok=True)
    host = _lab_host(timeline)
    _deploy(timeline, host, log)
    tested = _host_tests(timeline, host, log)
    with timeline.stage("Completion", HostActivity.of(host)):
        try:
            model, answer = ask(host, QUESTION)
        except LabError as error:
            # The last line of what the asking program printed is the error itself.
            raise Failed("Completion", str(error).splitlines()[-1:]) from error
    timeline.total()
    print_success(console, host, question=QUESTION, answer=answer, model=model, tested=tested)


def _lab_host(timeline: Timeline) -> LabHost:
    """Bring up the one host. The lab itself shows what it is doing, and for how long."""
    began = time.monotonic()
    timeline.at = "Lab"
    try:
        (host, *_) = hosts.up(1)
    except LabError as error:
        raise Failed("Lab", str(error).splitlines()) from error
    timeline.finished("Lab: one host, two imitated cards", time.monotonic() - began)
    return host


def _deploy(timeline: Timeline, host: LabHost, log: Path) -> None:
    began = time.monotonic()
    moves = HostActivity.of(host)
    with timeline.shown("Deploy: reading the host", moves) as activity:
        timeline.at = "Deploy"

        def begun(operation: Operation) -> None:
            timeline.operation(operation, began)
            activity.doing = f"Deploy: {timeline.at}"
            moves.serving = operation.stage == "Gate"

        ran = deploy(
            INVENTORY,
            on_operation=begun,
            on_stage=lambda stage, seconds: timeline.finished(f"Deploy: {stage}", seconds),
            log=log,
        )
    if ran.exit_code != 0:
        failure = find_failure(ran.output)
        raise Failed(f"Deploy, {failure.where}", failure.lines)


def _host_tests(timeline: Timeline, host: LabHost, log: Path) -> str:
    """Have the host checked as its owner would, and return how many tests said what."""
    with timeline.stage("Host tests", HostActivity.of(host)):
        ran = fortyninety("check", INVENTORY, "--json")
    with log.open("a") as kept:
        kept.write(ran.stdout + ran.stderr)
    try:
        results = json.loads(ran.stdout)["result"]["results"]
    except (ValueError, KeyError, TypeError) as error:
        said = (ran.stderr or ran.stdout).splitlines()
        raise Failed("Host tests: no report came back", said[-_REPORT_LINES:]) from error
    wrong = [each for each in results if each["outcome"] == "failed"]
    if wrong or ran.returncode != 0:
        lines = [f"{each['message']} {each['meaning']}" for each in wrong]
        raise Failed(f"Host tests: {len(wrong)} of {len(results)} failed", lines)
    passed = sum(each["outcome"] == "passed" for each in results)
    return f"{passed} host tests passed, {len(results) - passed} do not apply to it"


if __name__ == "__main__":
    sys.exit(main())
