"""Put the checkpoint at its pinned commit in place, whole and verified."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping

from pyinfra import host
from pyinfra import state as run
from pyinfra.api.command import FunctionCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State

from fortyninety.deadlines import REMOVAL, SNAPSHOT
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.files import file_commands
from fortyninety.operations.reasons import differs
from fortyninety.operations.removal import removal
from fortyninety.survey.reading import HostReading
from fortyninety.survey.records import COMMIT, LEFTOVER

# How a snapshot that is not whole is found.
_IN_WORDS = {
    None: "is missing",
    "damaged": "has other files or sizes than its manifest",
    "touched": "was written to since it was published",
    "other": "has another manifest than the list of the checkpoint's files",
}


@converging
def begun(
    reading: HostReading,
    *,
    manifest: str,
    begin: Callable[[State, Host], bool],
    programs: Mapping[str, str | bytes],
) -> Iterator[Command]:
    """A commit that is not there whole, on its way by `begin`; `published` waits for it.

    The `programs` that fetch (their texts by path) are put onto the host for that. No difference of
    its own: a look at changes hears of the commit from `published`.
    """
    if reading.snapshot.published("snapshot", manifest) == "whole" or not run.is_executing:
        host.noop("no snapshot is to be fetched ahead")
        return
    for path, text in programs.items():
        yield from file_commands(reading, path, text, mode="755")
    yield FunctionCommand(begin, (), {})


@converging
def published(
    reading: HostReading,
    *,
    repository: str,
    revision: str,
    manifest: str,
    supply: Callable[[State, Host], bool],
    under_way: Callable[[Host], bool],
) -> Iterator[Command]:
    """The commit of the host's plan, fetched once for all hosts of the run that lack it.

    Whether it is there, has the sizes of its manifest and was not written to since is in the
    survey; `manifest` is the SHA-256 that the manifest has by the list of the checkpoint's files.
    One that is not so is hashed again, and only what is wrong is fetched. `supply` brings it to the
    host, or waits for it where that is `under_way`, and says whether it got there.
    """
    found = reading.snapshot.published("snapshot", manifest)
    if found == "whole" and not under_way(host):
        host.noop(f"{repository} at {revision} is published")
        return
    if found != "whole":
        differs(f"the snapshot {_IN_WORDS[found]}; expected {revision}, whole")
    yield FunctionCommand(supply, (), {})


@converging
def readable(reading: HostReading, *, published: str, models: str) -> Iterator[Command]:
    """The published commit, and `models` above it, open to the service's account.

    One that was fetched under a hardened umask before is not. No content changes.
    """
    if not reading.snapshot.closed:
        host.noop(f"{published} is open to the service")
        return
    differs(f"{published} is closed to the service's account; expected it readable for everybody")
    above = shlex.join((models, published.rpartition("/")[0]))
    yield f"chmod go+rx {above} && chmod -R go+rX {shlex.quote(published)}"


@converging
def second_copy(
    reading: HostReading,
    *,
    published: str,
    second_copy: str,
    manifest: str,
    program: str,
    tools: str,
) -> Iterator[Command]:
    """The published snapshot once more, on another disk, hashed there."""
    found = reading.snapshot.published("second_copy", manifest)
    if found == "whole":
        host.noop(f"{second_copy} is whole")
        return
    differs(f"the copy in {second_copy} {_IN_WORDS[found]}; expected it whole")
    request = json.dumps({"published": published, "second_copy": second_copy})
    yield within(
        SNAPSHOT,
        f"printf %s {shlex.quote(request)} | "
        f"{shlex.quote(tools)}/bin/python {shlex.quote(program)} copy",
    )


@converging
def pruned(reading: HostReading, *, published: str, current: str, keep: int) -> Iterator[Command]:
    """No more than `keep` commits, and nothing of a fetch that another commit's ended.

    What is `published` stays, and so does what the link `current` points to; of the others the
    newest.
    """
    model = published.rpartition("/")[0]
    served = reading.files[current].target if current in reading.files else None
    needed = [each for each in reading.snapshot.commits if f"{model}/{each}" in (published, served)]
    others = [each for each in reading.snapshot.commits if each not in needed]
    room = max(0, keep - len(needed))
    old = others[: max(0, len(others) - room)]
    commands = [removal(model, old, COMMIT), removal(model, reading.snapshot.leftovers, LEFTOVER)]
    needless = [command for command in commands if command is not None]
    if not needless:
        host.noop(f"{len(reading.snapshot.commits)} commits, of {keep} that are kept")
        return
    differs(*(f"{model}/{each} is not kept" for each in [*old, *reading.snapshot.leftovers]))
    for command in needless:
        yield within(REMOVAL, command)
