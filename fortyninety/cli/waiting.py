"""Show on a terminal what is waited for."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status
from rich.text import Text

from fortyninety.text.printable import printable

# Characters of what is said: names and a path may be long.
LONGEST = 200


def waiting(said: str) -> Status:
    """A line on standard error, where that is a terminal, as long as the block runs.

    Brackets in a path or a name are characters and no style.
    """
    return Console(stderr=True).status(Text(printable(said, LONGEST)))
