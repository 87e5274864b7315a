"""Refuse an inventory that is no file before anything is loaded to read it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import click

from fortyninety.cli.errors import NoAnswer
from fortyninety.text.printable import printable

# Characters of a path in a message.
LONGEST = 200


class InventoryFile(click.Path):
    """The path of an inventory: a regular file, refused in one line otherwise."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """The path as it is given. Raises NoAnswer."""
        path = os.fspath(value)
        shown = printable(path, LONGEST) or "''"
        try:
            mode = Path(path).stat().st_mode
        except FileNotFoundError as error:
            raise NoAnswer(f"there is no inventory file {shown}") from error
        except OSError as error:
            raise NoAnswer(f"the inventory {shown} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise NoAnswer(f"the inventory {shown} is {kind}; expected a file")
        return path
