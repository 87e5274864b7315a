"""Remove, as root, only what the controller named: the one function that does so."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from fortyninety.survey.records import Form


def removal(folder: str, names: Iterable[str], form: Form, *endings: str) -> str | None:
    """The command that removes these entries of a folder of this project; None where there is none.

    `folder` is the controller's own, from the settings. A name is a host's: one that is not of the
    `form`, which has no slash, is left alone. With `endings` each name is taken with each of them.
    """
    fitting = [name for name in names if form.pattern.fullmatch(name)]
    paths = [f"{folder}/{name}{ending}" for name in fitting for ending in endings or ("",)]
    return shlex.join(("rm", "-rf", "--", *paths)) if paths else None
