"""Remove from what hosts print everything that a terminal would obey.

pyinfra takes lines of a host as they come: one that is not UTF-8 ends the greenlet that reads it
(and loses the rest of the answer), one with an escape sequence repaints the terminal that shows it,
and one that never ends fills the memory. So its reader is replaced, in one place for every command
of every connector.
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

# Of one stream of one command, in characters; apt and dpkg print some 100 kB for a driver. What is
# beyond it is read, so that the command can end, and dropped.
MOST_CHARACTERS = 32_000_000
# Of one line; what is beyond it is another line.
LONGEST_LINE = 2_000_000


class _Printable(logging.Filter):
    """Lets every message pass, without what a terminal would obey."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable_message(record.getMessage()), ()
        return True


_FILTER = _Printable()


def install() -> None:
    """Have pyinfra read and log what hosts say as this module does. Once is enough."""
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
    # paramiko decodes the lines of a channel by itself, strictly, unless it is told that they are
    # bytes.
    if hasattr(io, "FLAG_BINARY"):
        io._flags |= io.FLAG_BINARY
    given: Iterator[bytes | str] = (
        iter(lambda: io.readline(LONGEST_LINE), b"") if hasattr(io, "readline") else iter(io)
    )
    for line in given:
        text = line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")
        yield text.rstrip("\n")
