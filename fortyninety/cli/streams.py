"""Make the standard streams ones that a command can use, whoever started it."""

from __future__ import annotations

import codecs
import os
import sys

# Of the bars and marks of this program's own tables, each as wide: where the encoding has no other.
_ASCII = {
    "\N{FULL BLOCK}": "#",
    "\N{DARK SHADE}": "%",
    "\N{MEDIUM SHADE}": "=",
    "\N{MIDDLE DOT}": ".",
    "\N{BOX DRAWINGS HEAVY VERTICAL}": "|",
    "\N{CHECK MARK}": "+",
    "\N{BALLOT X}": "x",
    "\N{RIGHTWARDS ARROW}": ">",
    "\N{HORIZONTAL ELLIPSIS}": "~",
}
_ERRORS = "fortyninety"


def make_usable() -> None:
    """Open those that are closed on nothing, and let standard output have any character.

    A daemon starts programs without streams, and a file that is opened next would become one. What
    the encoding of standard output does not have is written as Python escapes it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    codecs.register_error(_ERRORS, _written)
    if (reconfigure := getattr(sys.stdout, "reconfigure", None)) is not None:
        reconfigure(errors=_ERRORS)


def _written(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    shown = "".join(
        _ASCII.get(each) or each.encode("ascii", "backslashreplace").decode() for each in part
    )
    return shown, error.end
