"""Show any value as Python would write it: on one line, short, and without raising."""

from __future__ import annotations

import reprlib
from typing import Any

LONGEST = 120

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, LONGEST, LONGEST


def short_repr(value: Any) -> str:
    """A printable text of some 120 characters a part; a type's name where there is none."""
    try:
        text = _SHORT.repr(value)
    except Exception:
        # A number with more digits than Python prints, or a class with its own repr().
        return f"a value of type {type(value).__name__}"
    return text if text.isprintable() else ascii(text)
