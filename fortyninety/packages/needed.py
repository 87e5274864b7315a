"""Decide which packages can go without taking others along.

Pure: what dpkg says of every package, and what follows from it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

# The name of an alternative: "python3:any (>= 3.11)" is python3.
_NAME = re.compile(r"\s*([0-9A-Za-z][0-9A-Za-z+._-]*)")


@dataclass(frozen=True)
class DpkgEntry:
    """A package that dpkg knows: whether it is installed, what it needs, and what it provides.

    `needs` and `provides` are as in a package's own fields: "libc6 (>= 2.38), a | b".
    """

    installed: bool
    needs: str = ""
    provides: str = ""


def removable(
    wanted: Collection[str], known: Mapping[str, DpkgEntry]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Of the `wanted` packages those that can go, and the others, each with a package that stays
    and needs it."""
    installed = {name for name, entry in known.items() if entry.installed}
    providers: dict[str, set[str]] = {}
    for name in installed:
        for (provided,) in _groups(known[name].provides, single=True):
            providers.setdefault(provided, set()).add(name)
    going = {name for name in wanted if name in known}
    needed: dict[str, str] = {}
    asking = [name for name in sorted(installed) if name not in going]
    while asking:
        name = asking.pop()
        for alternatives in _groups(known[name].needs):
            fitting = [
                each
                for alternative in alternatives
                for each in [alternative, *sorted(providers.get(alternative, ()))]
                if each in installed
            ]
            if not fitting or any(each not in going for each in fitting):
                continue
            kept = fitting[0]
            going.discard(kept)
            needed[kept] = name
            asking.append(kept)
    return tuple(sorted(going)), needed


def _groups(relations: str, *, single: bool = False) -> Iterator[tuple[str, ...]]:
    """The alternatives of each relation of a field, by their names alone."""
    for relation in relations.split(","):
        found = [match[1] for each in relation.split("|") if (match := _NAME.match(each))]
        if found:
            yield tuple(found[:1]) if single else tuple(found)
