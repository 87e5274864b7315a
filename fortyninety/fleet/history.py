"""Note in the journal of a host what changes it, and read that from many.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache

from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.checkout import ROOT, own_version
from fortyninety.connection.bounded import bounded
from fortyninety.connection.lease import is_begun
from fortyninety.connection.shell import HostLost, shell
from fortyninety.facts.history import Change, Project, Served
from fortyninety.fleet.ended import ended
from fortyninety.lease import whoever_runs_this
from fortyninety.survey.latest import remembered_reading

# How the path of the link to the live environment ends.
CURRENT = "/engines/current"
# Seconds for a host to take a line, and for git to say what there is of it.
NOTING = 30
GIT = 10


def watch(hosts: Iterable[Host]) -> None:
    """Have each host of a deploy note what the run changed there, before it is disconnected."""
    for host in hosts:
        bounded(host).before_disconnect = _noting(host, served_by(host))


def _noting(host: Host, before: Served) -> Callable[[], None]:
    def note_it() -> None:
        if (change := change_of(host.state, host, before)) is not None:
            note(host, change)

    return note_it


def change_of(state: State, host: Host, before: Served) -> Change | None:
    """What a deploy that is over changed on a host; None where nothing."""
    if not (state.is_executing and is_begun(state)):
        return None
    end = ended(state, host)
    if not end.changed and end.failed is None:
        return None
    stages = dict.fromkeys(each.partition(" | ")[0] for each in end.changed)
    result, why = "done" if end.whole else "cut", ""
    if end.failed is not None:
        result, why = "failed", f"{end.failed}: {end.said}"
    return Change(
        what="deploy",
        who=whoever_runs_this(),
        project=project(),
        result=result,
        why=why,
        stages=tuple(stages),
        count=len(end.changed),
        before=before,
    )


def note(host: Host, change: Change) -> None:
    """Write it into the host's journal, in one round trip; a host that is lost has no entry."""
    with suppress(HostLost):
        shell(host, change.note(), timeout=NOTING)


def served_by(host: Host) -> Served:
    """What served on a host as it was last read; nothing where it was not."""
    reading = remembered_reading(host)
    if reading is None or reading.service.configuration is None:
        return Served()
    links = (each for path, each in reading.files.items() if path.endswith(CURRENT))
    names = ((each.target or "").rpartition("/")[2] for each in links)
    known = (name for name in names if name in reading.service.environments)
    return Served(next(known, ""), reading.service.configuration)


@cache
def project() -> Project:
    """What changes the hosts: the version, and the commit where this is a checkout of one."""
    version = own_version()
    # A checkout of its own, and not a folder somewhere below another one.
    if not (ROOT / ".git").exists():
        return Project(version)
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    if commit is None or len(commit) != 40:
        return Project(version)
    return Project(version, commit, None if changed is None else bool(changed))


def _git(*words: str) -> str | None:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            ["git", "-C", str(ROOT), *words],
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT,
            check=True,
        ).stdout.strip()
    return None
