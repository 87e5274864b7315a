"""Read what group_data/all.py says of each setting: its default, and the lines on why."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from fortyninety.settings.defaults import ALL, default_settings

_HEADING = re.compile(r"# --- (?P<title>.+?) -+")


@dataclass(frozen=True)
class Described:
    """A setting, with the default's own text and the comment above it as one line."""

    name: str
    section: str
    default: Any
    text: str
    why: str


@cache
def described_settings() -> tuple[Described, ...]:
    """Every setting in the file's order. Settings that stand together share the comment."""
    source = ALL.read_text()
    lines = source.splitlines()
    defaults = default_settings()
    found: list[Described] = []
    section = why = ""
    after = 0
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        between = lines[after : node.lineno - 1]
        after = node.end_lineno or node.lineno
        for line in between:
            if heading := _HEADING.fullmatch(line):
                section = heading["title"]
        if "" in between or not found:
            why = " ".join(line.removeprefix("#").strip() for line in _last_block(between))
        name = node.targets[0].id
        text = ast.get_source_segment(source, node.value) or ""
        found.append(Described(name, section, defaults[name], text, why))
    return tuple(found)


def _last_block(lines: list[str]) -> list[str]:
    """The lines after the last empty one."""
    empty = max((index for index, line in enumerate(lines) if not line), default=-1)
    return lines[empty + 1 :]
