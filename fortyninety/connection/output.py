"""Remove from what hosts print everything that a terminal would obey.

pyinfra reads lines of a host unchecked: one that is not UTF-8 ends the reading greenlet and loses
the rest of the answer, one with an escape sequence repaints the terminal, and one that never ends
fills the memory. This module replaces its reader, for every command of every connector.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from pyinfra import logger
from pyinfra.api.output import echo
from pyinfra.connectors import util
from pyinfra.connectors.util import OutputLine

from fortyninety.text.printable import printable, printable_message

# Characters of one stream of one command; apt and dpkg print some 100 kB for a driver. The rest is
# read, so that the command can end, and dropped.
MOST_CHARACTERS = 32_000_000
# Characters of one line; longer lines are split.
LONGEST_LINE = 2_000_000


class _Printable(logging.Filter):
    """Passes every message on, without control characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable_message(record.getMessage()), ()
        return True


_FILTER = _Printable()


def install() -> None:
    """Replace pyinfra's reader and filter its log. Idempotent."""
    if util.read_buffer is not _read_buffer:
        util.read_buffer = _read_buffer
        logger.addFilter(_FILTER)


def _read_buffer(
    name: str,
    io: Any,
    output_queue: Any,
    print_output: bool = False,
    print_func: Callable[[str], str] | None = None,
) -> None:
    """Put the lines of a stream into the queue, and print them where that is asked."""
    read = 0
    for line in _lines(io):
        before, read = read, read + len(line)
        if read > MOST_CHARACTERS:
            if before > MOST_CHARACTERS:
                continue
            line = f"... (more than {MOST_CHARACTERS:,} characters; the rest is left out)"  # noqa: PLW2901
        shown = printable(line, len(line), keep="\t")
        output_queue.put(OutputLine(name, shown))
        if print_output:
            echo(print_func(shown) if print_func else shown, err=True)


def _lines(io: Any) -> Iterator[str]:
    # paramiko decodes the lines of a channel strictly, unless they are declared as bytes.
    if hasattr(io, "FLAG_BINARY"):
        io._flags |= io.FLAG_BINARY
    given: Iterator[bytes | str] = (
        iter(lambda: io.readline(LONGEST_LINE), b"") if hasattr(io, "readline") else iter(io)
    )
    for line in given:
        text = line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")
        yield text.rstrip("\n")
