"""`bin/demo`: from nothing to an answered chat completion, with the time of every stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from lab import hosts
from lab.errors import LabError
from lab.question import ask
from lab.stages import Operation, deploy, host_tests

INVENTORY = "inventory/lab.py"
QUESTION = "Tell me about the sea."
console = Console(highlight=False)


class Timeline:
    """Finished stages as lines with their seconds; the one at work as a spinner on a terminal."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def finished(self, stage: str, seconds: float) -> None:
        """Say that a stage is done."""
        console.print(f"  {stage:<34}{seconds:>8.1f} s")

    def total(self) -> None:
        """Say how long everything took."""
        console.print(f"  {'Total':<34}{time.monotonic() - self._began:>8.1f} s")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage, timed: a spinner on a terminal, a line where there is none."""
        began = time.monotonic()
        if console.is_terminal:
            with console.status(name):
                yield
        else:
            console.print(f"  {name} ...")
            yield
        self.finished(name, time.monotonic() - began)


def main() -> int:
    """Run the demonstration; 0 when the host answered."""
    timeline = Timeline()
    try:
        with timeline.stage("Lab: one host, two simulated cards"):
            (host, *_) = hosts.up(1)
    except LabError as error:
        console.print(f"The lab does not come up: {error}")
        return 1
    if not _deploy(timeline) or not _host_tests(timeline):
        return 1
    with timeline.stage("Completion"):
        model, answer = ask(host, QUESTION)
    timeline.total()
    console.print(f"\n[bold]{QUESTION}[/bold]")
    console.print(answer, markup=False)
    console.print(
        f"\nAnswered by {model} on {host.name} ({host.address})."
        "\nIt has this one sentence in its 4-bit weights, whatever it is asked."
        f"\nLook around: .venv/bin/fortyninety lab ssh {host.name}"
        "\nClean up:    .venv/bin/fortyninety lab down",
        markup=False,
    )
    return 0


def _deploy(timeline: Timeline) -> bool:
    began = time.monotonic()
    with console.status("Deploy") as status:

        def show(operation: Operation) -> None:
            status.update(f"Deploy: {operation.stage}: {operation.name}")
            if not console.is_terminal:
                elapsed = time.monotonic() - began
                line = f"  {elapsed:7.1f} s  {operation.stage}: {operation.name}"
                console.print(line, soft_wrap=True)

        ran = deploy(INVENTORY, on_operation=show)
    for stage, seconds in ran.seconds.items():
        timeline.finished(f"Deploy: {stage}", seconds)
    if ran.exit_code != 0:
        console.print(ran.output, markup=False)
    return ran.exit_code == 0


def _host_tests(timeline: Timeline) -> bool:
    with timeline.stage("Host tests"):
        tested = host_tests(INVENTORY, "-q")
    console.print(f"  {tested.stdout.strip().splitlines()[-1]}", markup=False)
    if tested.returncode != 0:
        console.print(tested.stdout + tested.stderr, markup=False)
    return tested.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
