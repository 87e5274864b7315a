"""Have a gateway or a front run with what the controller gives it, or take it away."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator

from pyinfra import host
from pyinfra.api.command import StringCommand

from fortyninety.deadlines import UNIT
from fortyninety.gateway.certificates import AuthoritySource, CertificateSource
from fortyninety.gateway.key_file import KeyFileUnusable
from fortyninety.operations.accounts import system_account
from fortyninety.operations.certificates import Access, absent, believed, giving, signed
from fortyninety.operations.converge import Command, converging, failing, within
from fortyninety.operations.files import Upload, file_commands
from fortyninety.operations.reasons import differs
from fortyninety.operations.units import unit_commands
from fortyninety.plan.gateway import GATEWAY_FILE_MODE, key_map_digest
from fortyninety.plan.instance import FRONT, GATEWAY, NOTHING, Instance, digest_of_all
from fortyninety.plan.paths import (
    DRAINED,
    GATEWAY_ACCOUNT,
    GATEWAY_DRAINED,
    UNDRAIN_SERVICE_UNIT,
    UNDRAIN_STAMP,
    UNDRAIN_TIMER,
    UNDRAIN_TIMER_UNIT,
)
from fortyninety.survey.reading import GatewayReading, HostReading


@converging
def account(reading: HostReading) -> Iterator[Command]:
    """The gateway's own account, without a home, a password or a shell."""
    yield from system_account(reading.gateway.account, GATEWAY_ACCOUNT)


@converging
def certificate(
    reading: HostReading, instance: Instance, signer: CertificateSource
) -> Iterator[Command]:
    """A certificate that `signer` has no reason to replace, with its key, for the gateway alone."""
    found = _reading_of(instance, reading).certificate
    yield from signed(reading, instance.certificate, found, signer, _ACCESS)


@converging
def identity(
    reading: HostReading, instance: Instance, signer: CertificateSource
) -> Iterator[Command]:
    """The certificate that boxes know a front by, with its key."""
    assert instance.identity is not None
    found = _reading_of(instance, reading).identity
    yield from signed(reading, instance.identity, found, signer, _ACCESS)


@converging
def authority(
    reading: HostReading, instance: Instance, its: AuthoritySource | None
) -> Iterator[Command]:
    """The certificate of the fleet's authority where others are believed by it; else none."""
    if its is None:
        yield from absent(reading, instance.authority)
        return
    yield from believed(reading, instance.authority, its, _ACCESS)


@converging
def keys(
    reading: HostReading, instance: Instance, read: Callable[[], str] | None, *, control: str
) -> Iterator[Command]:
    """The keys that `read` returns, in the map's file and in force, without a reload.

    Without `read` nobody asks by a key, and there is no file of them.
    """
    path = instance.keys
    if read is None:
        yield from absent(reading, path)
        return
    try:
        text = read()
    except KeyFileUnusable as error:
        yield failing(str(error))
        return
    digest, now = key_map_digest(text), reading.files.get(path)
    access = None if now is None else (now.mode, now.owner, now.group)
    loaded = _reading_of(instance, reading).loaded
    # A running one that had no keys has no map of them either: it is reloaded with them.
    had_none = loaded is not None and loaded[2] == NOTHING
    in_force = loaded is None or loaded[2] == digest
    if now is not None and now.sha256 == digest and access == _ACCESS and (in_force or had_none):
        host.noop("the keys are in force")
        return
    if now is None or now.sha256 != digest:
        differs("the keys of the host are others")
    elif not in_force:
        differs("the keys in force are others than those on disk")
    else:
        differs(f"{path} has another mode or owner")
    if had_none:
        yield _upload(path, text)
        return
    command = (
        f"{{ [ -e {path} ] || ( umask 077; : >{path} ); }} && {giving(path, _ACCESS)} && "
        f"{shlex.join((control, 'keys', path, instance.control_socket, instance.note))}"
    )
    yield StringCommand(command, _stdin=text, _timeout=UNIT)


@converging
def configuration(reading: HostReading, instance: Instance, text: str) -> Iterator[Command]:
    """HAProxy's configuration, which replaces the one before once HAProxy itself has read it."""
    path = instance.configuration
    commands = list(_file_commands(reading, path, text))
    if not commands:
        host.noop(f"{path} is as it should be")
        return
    candidate = f"{path}.candidate"
    yield _upload(candidate, text)
    if instance is GATEWAY:
        # HAProxy does not start without it; the gateway's unit writes what stands in it.
        yield (
            f"{{ [ -e {GATEWAY_DRAINED} ] || ( umask 077; : >{GATEWAY_DRAINED} ); }} && "
            f"{giving(GATEWAY_DRAINED, _ACCESS)}"
        )
    # From a folder that its account may be in.
    yield (
        f"( trap 'rm -f {candidate}' EXIT; cd / && "
        f"said=$(runuser -u {GATEWAY_ACCOUNT} -- /usr/sbin/haproxy -c -f {candidate} 2>&1) || "
        "{ printf '%s\\n' \"$said\" >&2; exit 1; } )"
    )
    yield from commands


@converging
def running(reading: HostReading, instance: Instance, *, digest: str) -> Iterator[Command]:
    """The unit enabled and active, of the unit file on disk and with the files on disk in force.

    Files are loaded while streams go on; another unit takes a restart.
    """
    service, own = instance.service, _reading_of(instance, reading)
    current = own.unit == digest
    active = reading.unit(service, "ActiveState") in ("active", "reloading")
    if not current and active:
        differs(f"{service} runs unit {own.unit or 'that nobody noted'}; expected {digest}")
    commands = unit_commands(reading, service, current=current)
    if commands:
        yield from commands
        return
    if own.loaded == _on_disk(reading, instance):
        host.noop(f"{service} is active, with what is on disk")
        return
    differs(f"{service} has not loaded what is on disk")
    yield within(
        UNIT,
        f"systemctl reload {service} || "
        f"{{ journalctl --unit={service} --lines=10 --output=cat >&2; exit 1; }}",
    )


def _on_disk(reading: HostReading, instance: Instance) -> tuple[str | None, ...]:
    """The SHA-256 of the configuration, of the certificates together and of the keys."""

    def digest(path: str) -> str | None:
        now = reading.files.get(path)
        return None if now is None else now.sha256

    there = [each for each in map(digest, instance.certificates) if each is not None]
    return (
        digest(instance.configuration),
        digest_of_all(there),
        digest(instance.keys) or NOTHING,
    )


@converging
def closed(reading: HostReading, instance: Instance) -> Iterator[Command]:
    """No gateway, or no front: neither its unit nor its files. The package and account stay."""
    service = instance.service
    there = [path for path in instance.files if path in reading.files]
    active = reading.unit(service, "ActiveState") not in ("", "inactive", "failed")
    if not there and not active:
        host.noop(f"there is no {instance.name}")
        return
    differs(f"a {instance.name} is here; expected none")
    yield within(
        UNIT,
        f"{{ systemctl disable --now --quiet {service} || true; }} && "
        f"{{ {_no_drain(instance)}; }} && "
        f"rm -rf {instance.folder} && rm -f {instance.unit} {instance.note} && "
        "systemctl daemon-reload && "
        f"{{ systemctl reset-failed {service} 2>/dev/null || true; }}",
    )


_ACCESS = Access(GATEWAY_FILE_MODE, "root", GATEWAY_ACCOUNT)


def _reading_of(instance: Instance, reading: HostReading) -> GatewayReading:
    return reading.front if instance is FRONT else reading.gateway


def _upload(path: str, text: str) -> Upload:
    return Upload(path, text.encode(), **_ACCESS._asdict())


def _file_commands(reading: HostReading, path: str, text: str) -> Iterator[Command]:
    return file_commands(reading, path, text, **_ACCESS._asdict())


def _no_drain(instance: Instance) -> str:
    """The command that leaves nothing of a drain of the box, with its gateway."""
    if instance is not GATEWAY:
        return "true"
    files = (UNDRAIN_TIMER_UNIT, UNDRAIN_SERVICE_UNIT, UNDRAIN_STAMP, DRAINED)
    return (
        f"systemctl disable --now --quiet {UNDRAIN_TIMER} 2>/dev/null || true; "
        f"rm -f {shlex.join(files)}"
    )
