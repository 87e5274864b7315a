"""Have hosts keep how their last check ended: `fortyninety check --record`.

Import it when a command runs, not before: pyinfra_cli patches the standard library.

Without the lease: a check does not wait for a deploy, and a rename replaces the whole file.
"""

from __future__ import annotations

import shlex

from pyinfra.api.host import Host

from fortyninety.connection.shell import HostLost, attempt
from fortyninety.plan.paths import CHECKED, CHECKED_IN_PART
from fortyninety.problem import Problem
from fortyninety.text.printable import printable


def keep(host: Host, text: str, *, whole: bool) -> Problem | None:
    """Have a host keep the text; None, or why it does not.

    A whole check says more than one in part before it, which would go on saying what it found.
    """
    try:
        succeeded, output = attempt(host, keeping(text, whole=whole))
    except HostLost as lost:
        return _not_kept(host, f"lost: {lost}")
    said = printable(" ".join(output.stderr.split()), 300) or "the host does not say why"
    return None if succeeded else _not_kept(host, said)


def keeping(text: str, *, whole: bool) -> str:
    """The shell command that puts the text in place by one rename, for every account to read."""
    path = CHECKED if whole else CHECKED_IN_PART
    folder = shlex.quote(path.rpartition("/")[0])
    quoted, beside = shlex.quote(path), f"{shlex.quote(path)}.$$"
    after = f" && rm -f {shlex.quote(CHECKED_IN_PART)}" if whole else ""
    return (
        f"umask 022 && mkdir -p {folder} && {{ printf %s {shlex.quote(text)} >{beside} && "
        f"sync {beside} && mv -fT {beside} {quoted} || {{ rm -f {beside}; exit 1; }}; }}{after}"
    )


def _not_kept(host: Host, found: str) -> Problem:
    return Problem(
        host=host.name,
        subject="what the check found",
        found=f"not recorded ({found})",
        expected=f"a file in {CHECKED.rpartition('/')[0]}",
        remedy="Run the check again with --record",
    )
