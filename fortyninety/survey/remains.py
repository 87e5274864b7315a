"""Hold what of a deploy is on a host beside what the survey reads, for a reset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fortyninety.packages.needed import DpkgEntry
from fortyninety.survey.records import (
    NUMBER,
    PACKAGE,
    PATH,
    form,
    one,
    parse_records,
    several,
    word_of,
)

MODEL = form("a model's folder", r"[0-9A-Za-z][0-9A-Za-z._-]{0,200}")
MODEL_ENTRY = form(
    "what a deploy puts into a model's folder",
    r"[0-9a-f]{40}|\.(partial|incoming|lock)-[0-9a-f]{40}|current",
)
ACCOUNT_NAME = form("an account", r"[a-z_][a-z0-9_-]{0,31}")
RELATIONS = form("packages that one needs", r"[ -~]{0,40000}")

_KINDS = {
    "noted": one(word_of("yes", "no")),
    "package": several(PACKAGE),
    "hold": several(PACKAGE),
    "cache": several(word_of("pip", "uv")),
    "account": several(ACCOUNT_NAME, NUMBER),
    "dpkg": several(
        PACKAGE,
        form("a status", r"[a-z-]{1,30}"),
        RELATIONS,
        RELATIONS,
    ),
    "held": several(PACKAGE),
    "there": several(PATH),
    "cut": several(PATH),
    "model": several(PATH, MODEL, MODEL_ENTRY),
    "drop-in": several(PATH),
}


@dataclass(frozen=True)
class RemainsRequest:
    """What to look at: the note of what was brought, an account and folders of this project,
    folders that go once they are empty, files outside of them, the folders of models, and units
    whose drop-ins count.
    """

    note: str
    own_account: str
    folders: tuple[str, ...]
    emptied: tuple[str, ...]
    files: tuple[str, ...]
    model_folders: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True)
class Remains:
    """What of a deploy is on a host.

    `noted` is whether deploys noted what they brought: `packages`, `holds` (those that are held
    now), `caches` of what fetches Python packages, and `accounts` with their ids. `there` are the
    folders that were asked for and exist, `cut` the files beside which an upload that was cut off
    left something, and `models` has what a deploy put there, by the model's folder.
    """

    noted: bool = False
    packages: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    accounts: dict[str, int] = field(default_factory=dict)
    dpkg: dict[str, DpkgEntry] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    models: dict[str, list[str]] = field(default_factory=dict)
    drop_ins: tuple[str, ...] = ()


def read_remains(lines: Iterable[str]) -> Remains:
    """What the script's records say. Raises Unreadable."""
    found = parse_records(lines, _KINDS)
    held = {name for (name,) in found["held"]}
    models: dict[str, list[str]] = {}
    for folder, model, entry in found["model"]:
        models.setdefault(f"{folder}/{model}", []).append(entry)
    return Remains(
        noted=found["noted"] == [["yes"]],
        packages=tuple(sorted({name for (name,) in found["package"]})),
        holds=tuple(sorted({name for (name,) in found["hold"]} & held)),
        caches=tuple(name for (name,) in found["cache"]),
        accounts={name: int(number) for name, number in found["account"]},
        dpkg={
            name: DpkgEntry(status == "installed", needs, provides)
            for name, status, needs, provides in found["dpkg"]
        },
        there=frozenset(path for (path,) in found["there"]),
        cut=frozenset(path for (path,) in found["cut"]),
        models=models,
        drop_ins=tuple(path for (path,) in found["drop-in"]),
    )
