"""Make this project's folders on the host, with modes that no umask changes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from pyinfra import host

from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import differs
from fortyninety.plan.directory import Directory
from fortyninety.survey.reading import HostReading


@converging
def there(reading: HostReading, wanted: Sequence[Directory]) -> Iterator[Command]:
    """The `wanted` folders, each above those in it, root's and with their modes.

    What is in them is left as it is. Every path must be among the survey's files. A folder that the
    service's account cannot enter, as one made under umask 027 is, keeps it from starting.
    """
    wrong = [each for each in wanted if not _is_right(reading, each)]
    if not wrong:
        host.noop(f"{len(wanted)} folders are there")
        return
    for each in wrong:
        differs(_difference(reading, each))
        path = shlex.quote(each.path)
        yield (
            f"if [ -L {path} ]; then echo {path} is a link, expected a folder >&2; exit 1; fi; "
            f"mkdir -p {path} && chown root:root {path} && chmod {each.mode} {path}"
        )


def _is_right(reading: HostReading, wanted: Directory) -> bool:
    now = reading.files.get(wanted.path)
    return (
        now is not None
        and (now.kind, now.mode, now.owner) == ("directory", wanted.mode, "root")
        and now.group == "root"
    )


def _difference(reading: HostReading, wanted: Directory) -> str:
    now = reading.files.get(wanted.path)
    if now is None:
        return f"{wanted.path} is missing"
    return (
        f"{wanted.path} is a {now.kind} of {now.owner}:{now.group} with mode {now.mode}; expected "
        f"a folder of root:root with mode {wanted.mode}"
    )
