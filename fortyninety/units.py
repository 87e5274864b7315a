"""Quoting for systemd units."""

from __future__ import annotations


def unit_word(text: str) -> str:
    """One word of an ExecStart= or Environment= line, as systemd's own quoting takes it.

    Source: systemd.service(5), "COMMAND LINES", and systemd.unit(5), "SPECIFIERS": `%` and `$` are
    doubled, backslashes and double quotes escaped, and a word with blanks is quoted.
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(character in text for character in " \t'\"\\;") else escaped
