"""Say in one line what is wrong with an inventory file or a file of group_data/."""

from __future__ import annotations

import traceback
from pathlib import Path

LONGEST = 300


def inventory_fault(path: str, error: BaseException) -> str:
    """The file, the line where one is known, and what Python or pyinfra says, for people.

    `error` is what reading the inventory `path` raised, of whatever kind.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, SyntaxError) and cause.filename:
            return _line(_shown(cause.filename), cause.lineno, f"{cause.msg}")
    # pyinfra wraps what the file itself raised.
    own = causes[-1]
    frames = [
        frame
        for cause in reversed(causes)
        for frame in traceback.extract_tb(cause.__traceback__)
        if _is_users(frame.filename, path)
    ]
    kind = type(own).__name__
    said = f"{own}" if kind in ("InventoryError", "CliError") else f"{kind}: {own}"
    if not frames:
        return _line(path, None, f"{said}. Each host is a name, or (name, a dict of its settings)")
    return _line(_shown(frames[-1].filename), frames[-1].lineno, said)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and what it stands for, the innermost last."""
    found = [error]
    while True:
        last = found[-1]
        inner = getattr(last, "exception", None) or last.__cause__
        if not isinstance(inner, BaseException) or inner in found:
            return found
        found.append(inner)


def _is_users(filename: str, path: str) -> bool:
    resolved = Path(filename).resolve()
    return resolved == Path(path).resolve() or resolved.parent.name == "group_data"


def _shown(filename: str) -> str:
    """Relative to where the command runs, where it lies below."""
    resolved = Path(filename).resolve()
    return (
        str(resolved.relative_to(Path.cwd())) if resolved.is_relative_to(Path.cwd()) else filename
    )


def _line(file: str, number: int | None, said: str) -> str:
    where = file if number is None else f"{file}, line {number}"
    text = " ".join(f"{where}: {said}".split())
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
