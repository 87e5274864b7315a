"""Where things of one commit are below the model's folder, which a step holds open."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.folder import Folder, is_ours

MANIFEST = ".fortyninety-manifest"
VERIFIED = "verified"
ARRIVING = "arriving"
REVISION = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Places:
    """The folders of a commit: `partial` has only verified files, `incoming` what is on its way."""

    model: Folder
    revision: str
    partial: Folder
    incoming: Folder

    @property
    def partial_name(self) -> str:
        """The name of `partial` in the model's folder."""
        return f".partial-{self.revision}"

    @property
    def incoming_name(self) -> str:
        """The name of `incoming` in the model's folder."""
        return f".incoming-{self.revision}"


@contextlib.contextmanager
def opened(model: Folder, revision: str) -> Iterator[Places]:
    """Open a commit's folders, made where they are missing, readable for a serving daemon."""
    with model.make(f".partial-{revision}") as partial, model.make(f".incoming-{revision}") as way:
        yield Places(model, revision, partial, way)


def open_model(directory: object) -> Folder:
    """Open the model's folder, made where it is missing. Raises Failure where it is not ours."""
    if not isinstance(directory, str) or not _is_plain(directory):
        raise Failure(f"{directory!a} is not the path of a folder")
    path = Path(directory)
    path.mkdir(parents=True, exist_ok=True)
    folder = Folder.open(path)
    state = os.fstat(folder.descriptor)
    if not is_ours(state):
        raise Failure(
            f"{path} has owner {state.st_uid} and mode {state.st_mode & 0o7777:o}; expected owner "
            f"{os.geteuid()} and that nobody else may write there: chown and chmod it"
        )
    return folder


def revision_of(value: object) -> str:
    """A commit's name. Raises Failure for anything else."""
    if not isinstance(value, str) or not REVISION.fullmatch(value):
        raise Failure(f"{value!a} is not a commit: expected 40 hexadecimal digits")
    return value


def _is_plain(path: str) -> bool:
    return path.startswith("/") and path.isprintable() and ".." not in path.split("/")
