"""Write apt's pins: where packages may come from, and where they may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# apt never installs a version with a negative priority. What may be taken has the usual one.
NEVER, USUAL = -1, 500


@dataclass(frozen=True)
class Pin:
    """A stanza of apt's preferences: the packages (names or patterns), and how they are pinned."""

    packages: tuple[str, ...]
    pin: str
    priority: int


def suite_pins(suites: Sequence[str], names: Sequence[str]) -> tuple[Pin, ...]:
    """What is taken from another release's suites: packages of these names, and later of them.

    A name `src:NAME` is that of a source, and stands for all packages that are made of it.
    """
    marks = [f"release n={suite}" for suite in suites]
    return (
        *(Pin(tuple(names), mark, USUAL) for mark in marks),
        *(Pin(("*",), mark, NEVER) for mark in marks),
    )
