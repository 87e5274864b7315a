"""A folder of this project on a host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Directory:
    """A folder of root's and its mode, as octal text."""

    path: str
    mode: str = "755"
