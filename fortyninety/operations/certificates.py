"""Put certificates onto a host: its own with its key, and that of the fleet's authority."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from pyinfra import host, state

from fortyninety.gateway.authority import AuthorityUnusable
from fortyninety.gateway.certificates import AuthoritySource, CertificateSource, Found
from fortyninety.operations.converge import Command, failing
from fortyninety.operations.files import Upload, file_commands
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import CertificateReading, HostReading


class Access(NamedTuple):
    """A file's mode (octal text), owner and group."""

    mode: str
    owner: str
    group: str


def signed(
    reading: HostReading,
    path: str,
    there: CertificateReading,
    signer: CertificateSource,
    access: Access,
) -> Iterator[Command]:
    """A certificate with its key at `path` that `signer` has no reason to replace."""
    now = reading.files.get(path)
    found = Found(there.certificates, there.whole, None if now is None else now.sha256)
    moment = datetime.now(UTC)
    try:
        reason = signer.why_replaced(found, moment)
        if reason is not None:
            differs(f"{path}: {reason}")
            text = signer.made(moment) if state.is_executing else ""
            yield Upload(path, text.encode(), **access._asdict())
            return
    except AuthorityUnusable as error:
        yield failing(str(error))
        return
    if now is None or (now.mode, now.owner, now.group) != access:
        differs(f"{path} has another mode or owner")
        yield giving(path, access)
        return
    host.noop(f"{path} serves on")


def believed(
    reading: HostReading, path: str, source: AuthoritySource, access: Access
) -> Iterator[Command]:
    """The certificate of the fleet's authority at `path`."""
    moment = datetime.now(UTC)
    try:
        text = source.text(moment)
        if text is None:
            differs("the fleet has no authority yet")
            made = source.made(moment) if state.is_executing else ""
            yield Upload(path, made.encode(), **access._asdict())
            return
    except AuthorityUnusable as error:
        yield failing(str(error))
        return
    commands = list(file_commands(reading, path, text, **access._asdict()))
    if not commands:
        host.noop(f"{path} is as it should be")
    yield from commands


def absent(reading: HostReading, path: str) -> Iterator[Command]:
    """No file at `path`."""
    if path not in reading.files:
        host.noop(f"{path} is not there")
        return
    differs(f"{path} is here; expected none")
    yield f"rm -f {path}"


def giving(path: str, access: Access) -> str:
    """A shell command that gives a file its access."""
    return f"chown {access.owner}:{access.group} {path} && chmod {access.mode} {path}"
