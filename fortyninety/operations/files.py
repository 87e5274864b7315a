"""Write files on the host whole, and rename them into place, so that a cut never leaves half.

Each goes first under a name that nobody else has, in the folder of its own, and to the disk before
it gets its name. It travels as the input of a command and never through a folder like /tmp, which
others write to.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator

from pyinfra import host
from pyinfra.api.command import StringCommand

from fortyninety.deadlines import INITRAMFS
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import FileState, HostReading


@converging
def file(
    reading: HostReading,
    path: str,
    content: str | bytes,
    *,
    mode: str = "644",
    owner: str = "root",
    group: str = "root",
    then: str | None = None,
) -> Iterator[Command]:
    """A file of exactly `content`, with `mode` (octal text), `owner` and `group`.

    `path` must be among the survey's files. `then` is a shell command that runs after a change.
    """
    commands = list(file_commands(reading, path, content, mode=mode, owner=owner, group=group))
    if not commands:
        host.noop(f"{path} is as it should be")
        return
    yield from commands
    if then is not None:
        yield within(INITRAMFS, then)


def file_commands(
    reading: HostReading,
    path: str,
    content: str | bytes,
    *,
    mode: str = "644",
    owner: str = "root",
    group: str = "root",
) -> Iterator[Command]:
    """What makes a file of exactly `content`; nothing where it is there."""
    data = content.encode() if isinstance(content, str) else content
    digest = hashlib.sha256(data).hexdigest()
    now = reading.files.get(path)
    if (
        now is not None
        and now.kind.startswith("regular")
        and now.sha256 == digest
        and (now.mode, now.owner, now.group) == (mode, owner, group)
    ):
        return
    differs(*_file_differences(path, now, digest, (mode, owner, group)))
    yield Upload(path, data, mode=mode, owner=owner, group=group)


class Upload(StringCommand):
    """A command that puts `data` at `path` on the host; what arrives incomplete goes nowhere."""

    def __init__(
        self, path: str, data: bytes, *, mode: str = "644", owner: str = "root", group: str = "root"
    ) -> None:
        self.path, self.data = path, data
        self.access = (mode, owner, group)
        script = placing(
            path,
            "base64 --decode",
            mode=mode,
            owner=owner,
            group=group,
            digest=hashlib.sha256(data).hexdigest(),
        )
        super().__init__(script, _stdin=base64.b64encode(data).decode())


def placing(
    path: str,
    source: str,
    *,
    mode: str = "644",
    owner: str = "root",
    group: str = "root",
    digest: str | None = None,
) -> str:
    """A shell command that puts what the command `source` prints at `path`, by one rename.

    The folder is made where it is missing, and what an earlier one that was cut off left beside the
    path is removed. `digest` is the SHA-256 that it must have.
    """
    check = (
        f'[ "$(sha256sum <"$new")" = "{digest}  -" ] || '
        f"{{ echo {shlex.quote(f'{path} arrived incomplete; nothing was changed')} >&2; exit 1; }}"
    )
    return "\n".join(
        [
            f"( {_beside(path)}",
            'new=$(mktemp -- "$beside") || exit 1',
            "trap 'rm -f -- \"$new\"' EXIT",
            f'{{ {source}; }} >"$new" || exit 1',
            *([check] if digest else []),
            f'chown {shlex.quote(f"{owner}:{group}")} "$new" && chmod {mode} "$new" && '
            f'sync "$new" && mv -fT "$new" {shlex.quote(path)} && sync "$folder" )',
        ]
    )


def linking(path: str, target: str) -> str:
    """A shell command that makes `path` a link to a word of the shell (quoted), by one rename."""
    return "\n".join(
        [
            f"( {_beside(path)}",
            'new=$(mktemp -d -- "$beside") || exit 1',
            "trap 'rm -rf -- \"$new\"' EXIT",
            f'ln -s {target} "$new/link" && mv -fT "$new/link" {shlex.quote(path)} && '
            'sync "$folder" )',
        ]
    )


def _beside(path: str) -> str:
    """Set `folder`, and the pattern `beside` of names of one's own for what becomes `path`.

    Whoever runs this has the host's lease: what has such a name already is of somebody who was cut.
    """
    folder, _, name = path.rpartition("/")
    return (
        f"folder={shlex.quote(folder or '/')}\n"
        f"beside=$folder/{shlex.quote(f'.{name}.fortyninety-')}XXXXXXXXXX\n"
        'umask 022 && mkdir -p -- "$folder" && umask 077 || exit 1\n'
        f"{no_leftovers(path)}"
    )


def no_leftovers(path: str) -> str:
    """A shell command that removes what uploads to `path` that were cut off left beside it."""
    folder, _, name = path.rpartition("/")
    pattern = re.sub(r"([][*?\\])", r"\\\1", f".{name}.fortyninety-")
    return (
        f"find {shlex.quote(folder or '/')} -mindepth 1 -maxdepth 1 "
        f'-name {shlex.quote(pattern)}"??????????" -exec rm -rf -- {{}} +'
    )


@converging
def link(reading: HostReading, path: str, target: str) -> Iterator[Command]:
    """A symbolic link at `path` to `target`, switched by one rename. `path` must be surveyed."""
    now = reading.files.get(path)
    if now is not None and now.target == target:
        host.noop(f"{path} points to {target}")
        return
    differs(f"{path} {_points_to(now)}; expected a link to {target}")
    yield linking(path, shlex.quote(target))


@converging
def no_link(reading: HostReading, path: str, target: str) -> Iterator[Command]:
    """No symbolic link at `path` to `target`; whatever else is there stays."""
    now = reading.files.get(path)
    if now is None or now.target != target:
        host.noop(f"{path} does not point to {target}")
        return
    differs(f"{path} points to {target}; expected no such link")
    yield f"rm -f {shlex.quote(path)}"


def _file_differences(
    path: str, now: FileState | None, digest: str, access: tuple[str, str, str]
) -> Iterator[str]:
    if now is None:
        yield f"{path} is missing"
        return
    if not now.kind.startswith("regular"):
        yield f"{path} is a {now.kind}; expected a regular file"
        return
    if now.sha256 != digest:
        yield f"{path} has another content"
    for what, found, expected in zip(
        ("mode", "owner", "group"), (now.mode, now.owner, now.group), access, strict=True
    ):
        if found != expected:
            yield f"the {what} of {path} is {found}; expected {expected}"


def _points_to(now: FileState | None) -> str:
    if now is None:
        return "is missing"
    return f"points to {now.target}" if now.target is not None else f"is a {now.kind}"
