"""Tell a person what the lab is doing, and for how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

_FRAMES = "|/-\\"
_DETAIL_SECONDS = 1.0


class Activity:
    """What is being done, for how long, and what moves in it, drawn anew several times a second.

    `doing` may be changed meanwhile. `detail` is asked once a second, and must not block.
    """

    def __init__(self, doing: str, detail: Callable[[], str] | None = None) -> None:
        self.doing = doing
        self._detail = detail
        self._began = time.monotonic()
        self._moved = 0.0
        self._said = ""

    def __rich__(self) -> Group:
        """Draw a line, and those of the detail below it, none wider than the screen."""
        now = time.monotonic()
        if self._detail is not None and now - self._moved >= _DETAIL_SECONDS:
            self._said, self._moved = self._detail(), now
        frame = _FRAMES[int((now - self._began) * 4) % len(_FRAMES)]
        lines = [Text(f"{frame} {clock(now - self._began)}  {self.doing}")]
        lines += [Text(f"         {line}", style="dim") for line in self._said.splitlines()]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)

    @contextmanager
    def shown(self, console: Console) -> Iterator[None]:
        """Keep it on the last lines of a terminal, and remove it at the end."""
        with Live(self, console=console, transient=True, refresh_per_second=4):
            yield


@contextmanager
def step(description: str, detail: Callable[[], str] | None = None) -> Iterator[None]:
    """Show a step while it runs and, when it is done, how many seconds it took.

    On a terminal the seconds move, and what `detail` returns, asked once a second; plain lines
    otherwise. Always standard error, so that `--json` output stays clean.
    """
    started = time.monotonic()
    try:
        if sys.stderr.isatty():
            with Activity(description, detail).shown(Console(stderr=True, highlight=False)):
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


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, such as 12:05."""
    return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"


def _seconds(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
