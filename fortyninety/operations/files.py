"""Files on the host: whole, and renamed into place, so that a cut never leaves half of one."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from io import BytesIO

from pyinfra import host
from pyinfra.api.command import FileUploadCommand

from fortyninety.deadlines import INITRAMFS
from fortyninety.facts.survey import FileState, HostState
from fortyninety.operations.converging import Command, converging, within
from fortyninety.operations.differences import differs


@converging
def file(
    state: HostState,
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
    commands = list(file_commands(state, path, content, mode=mode, owner=owner, group=group))
    if not commands:
        host.noop(f"{path} is as it should be")
        return
    yield from commands
    if then is not None:
        yield within(INITRAMFS, then)


def file_commands(
    state: HostState,
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
    now = state.files.get(path)
    if (
        now is not None
        and now.kind.startswith("regular")
        and now.sha256 == digest
        and (now.mode, now.owner, now.group) == (mode, owner, group)
    ):
        return
    differs(*_file_differences(path, now, digest, (mode, owner, group)))
    target = shlex.quote(path)
    beside = shlex.quote(f"{path}.fortyninety-new")
    yield f"mkdir -p {shlex.quote(path.rpartition('/')[0] or '/')}"
    yield FileUploadCommand(BytesIO(data), f"{path}.fortyninety-new")
    yield (
        f"chown {shlex.quote(owner)}:{shlex.quote(group)} {beside} && "
        f"chmod {mode} {beside} && mv -fT {beside} {target}"
    )


@converging
def link(state: HostState, path: str, target: str) -> Iterator[Command]:
    """A symbolic link at `path` to `target`, switched by one rename. `path` must be surveyed."""
    now = state.files.get(path)
    if now is not None and now.target == target:
        host.noop(f"{path} points to {target}")
        return
    differs(f"{path} {_points_to(now)}; expected a link to {target}")
    beside = shlex.quote(f"{path}.fortyninety-new")
    yield f"ln -sfn {shlex.quote(target)} {beside} && mv -fT {beside} {shlex.quote(path)}"


@converging
def no_link(state: HostState, path: str, target: str) -> Iterator[Command]:
    """No symbolic link at `path` to `target`; whatever else is there stays."""
    now = state.files.get(path)
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
