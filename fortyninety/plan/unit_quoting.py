"""Quote values for systemd units. No other function puts a value into one.

Each raises ValueError for a text that no unit can hold: a control character or a line's end would
begin another line, and systemd passes over a whole line that is no valid UTF-8 to it, which it
counts Unicode's non-characters among.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# What systemd splits words at, quotes by, or reads otherwise than as it stands. `;` alone between
# two words is the end of a command.
_SPECIAL = frozenset(" '\"\\;")
# At the beginning of a line, and a command has one line for each word, they make it a comment.
_COMMENT = ("#", ";")
# A path alone: in front of one systemd takes `-`, `@`, `:`, `+`, `!` and `|` for orders of its own.
_PROGRAM = re.compile(r"(/[A-Za-z0-9._-]+)+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def unit_command(words: Sequence[str]) -> list[str]:
    """The words of an ExecStart= line, quoted: a program's full path and its arguments.

    systemd gives the program exactly `words`. Source: systemd.service(5), "COMMAND LINES", and
    systemd.unit(5), "SPECIFIERS"; `$` begins a variable in this kind of line alone.
    """
    program, *arguments = words
    if _PROGRAM.fullmatch(program) is None:
        raise ValueError(f"{program!r} is no full path of a program")
    return [program, *(_quoted(word.replace("$", "$$")) for word in arguments)]


def unit_assignment(name: str, value: str) -> str:
    """One NAME=value of an Environment= line, quoted. `$` stands for itself in it.

    Source: systemd.exec(5), "Environment=".
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a variable")
    return _quoted(f"{name}={value}")


def unit_text(text: str) -> str:
    """A text for people, such as the rest of a Description= line, on which nothing is unquoted.

    A backslash at its end, which would join the next line to it, is left out.
    """
    return _checked(text).replace("%", "%%").rstrip("\\ ")


def _quoted(word: str) -> str:
    escaped = _checked(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    if not word or word.startswith(_COMMENT) or _SPECIAL & set(word):
        return f'"{escaped}"'
    return escaped


def _checked(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} holds a character that cannot be in a unit")
    return text
