"""Expand a "~" as SSH does."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str) -> Path:
    """The path with the home folder that it begins with; as it is where nobody has that one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
