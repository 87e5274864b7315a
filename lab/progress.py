"""Telling a person what the lab is doing and for how long it has been doing it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def step(description: str) -> Iterator[None]:
    """Show a step while it runs and, when it is done, how many seconds it took.

    A spinner on a terminal, plain lines otherwise. Always standard error, so that `--json` output
    stays clean.
    """
    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    try:
        if sys.stderr.isatty():
            with console.status(description):
                yield
        else:
            print(f"{description} ...", file=sys.stderr, flush=True)
            yield
    except BaseException:
        print(f"{description}: failed after {_seconds(started)}", file=sys.stderr, flush=True)
        raise
    print(f"{description}: {_seconds(started)}", file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Say one thing that has no duration."""
    print(message, file=sys.stderr, flush=True)


def _seconds(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
