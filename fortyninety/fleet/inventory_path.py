"""Know which file the hosts of a run come from: what is kept of a fleet lies beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from weakref import WeakKeyDictionary

from pyinfra.api.state import State

_paths: WeakKeyDictionary[State, Path] = WeakKeyDictionary()


def keep_path(state: State, path: str) -> None:
    """Remember the inventory's file of a run."""
    _paths[state] = Path(path)


def inventory_path(state: State) -> Path | None:
    """The inventory's file of a run, None where its hosts come from none.

    pyinfra's own command line does not say it: there it is the word that is a file and whose name
    is a group, which pyinfra makes of every inventory's file.
    """
    if (known := _paths.get(state)) is not None:
        return known
    groups = set(state.inventory.groups)
    named = (Path(word) for word in sys.argv[1:] if not word.startswith("-"))
    return next(
        (path for path in named if path.name.rsplit(".", 1)[0] in groups and path.is_file()), None
    )
