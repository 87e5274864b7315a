"""Let the fleet's members read what was verified here, by an rsync daemon without rights."""

import ipaddress
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fortyninety.on_host.snapshot.failures import Failure, one_line
from fortyninety.on_host.snapshot.folder import is_ours

# What a serving host runs for its peers, and what ends it even if nobody comes back to.
PEER_UNIT = "fortyninety-snapshot-peer"
PEER_FOLDER = Path("/run/fortyninety-snapshot-peer")
PEER_USER = "snapshot"
# Seconds after which it ends however often it was renewed.
LONGEST_SERVICE = 24 * 3600
MOST_MEMBERS = 1000
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,200}")


def daemon_configuration(
    request: dict[str, Any], *, address: str, export: Path, secret: Path, lock: Path
) -> str:
    """rsync's configuration: one folder, read only, for the members of the fleet with the secret.

    `address` is the one it listens on, `export` has the files. Raises Failure where the request
    asks for what is not to be had.
    """
    addresses = addresses_of(request["members"])
    if not addresses:
        raise Failure("no member of the fleet has an address that this host knows")
    return f"""\
port = {_number(request, "port", 65535)}
address = {address}
lock file = {lock}
use chroot = yes
[snapshot]
path = {export}
read only = yes
list = no
reverse lookup = no
munge symlinks = yes
refuse options = checksum compress delete
max connections = {2 + len(addresses)}
timeout = 120
auth users = {PEER_USER}
secrets file = {secret}
hosts allow = {" ".join(addresses)}
hosts deny = *
"""


def addresses_of(members: object) -> list[str]:
    """The addresses of members, who may be named. Raises Failure where they are no such list."""
    if not isinstance(members, list) or len(members) > MOST_MEMBERS:
        raise Failure("the members are not a list of at most 1000 addresses")
    return sorted({each for member in members for each in _resolved(member)})


def _resolved(member: object) -> list[str]:
    if not isinstance(member, str) or not member.isprintable():
        raise Failure(f"{member!a} is no address of a member")
    try:
        found = socket.getaddrinfo(member, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    # Through the parser, so that what reaches a configuration is an address and nothing else.
    return [str(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found]


def listening_address(request: dict[str, Any]) -> str:
    """The one address of this host that its peers reach it by.

    That is the request's, where this host has it; a host behind an address translation has not, and
    then it is the one that it has on the way to its peers. Raises Failure where there is none.
    """
    named = request.get("address")
    for address in _resolved(named) if named is not None else []:
        # A host's own name is often its loopback address to itself.
        if not ipaddress.ip_address(address).is_loopback and _is_own(address):
            return address
    for address in addresses_of(request["members"]):
        if (own := _own_towards(address)) is not None:
            return own
    raise Failure(f"this host has no address that its peers reach, {named!a} is not one of its own")


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _is_own(address: str) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _own_towards(address: str) -> str | None:
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))  # sends nothing
            own = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if ipaddress.ip_address(own).is_loopback else own


def unit_properties(source: Path, addresses: Iterable[str]) -> tuple[str, ...]:
    """What systemd holds the daemon to: an account of the moment, one folder, the fleet's hosts."""
    return (
        "DynamicUser=yes",
        # By the folder itself and not by its name: it goes on when the name changes.
        f"BindReadOnlyPaths={source}:{PEER_FOLDER}/export",
        f"LoadCredential=secret:{PEER_FOLDER}/secret",
        f"RuntimeDirectory={PEER_UNIT}-daemon",
        f"RuntimeMaxSec={LONGEST_SERVICE}",
        # By name: below `export` are the verified files.
        f"ExecStopPost=+/bin/rm -f {PEER_FOLDER}/secret {PEER_FOLDER}/rsyncd.conf",
        *(f"IPAddressAllow={address}" for address in addresses),
        "IPAddressDeny=any",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateMounts=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "PrivateIPC=yes",
        "ProtectProc=invisible",
        "ProcSubset=pid",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources @keyring",
        # In the order of these lines: it is among the privileged.
        "SystemCallFilter=chroot",
        "SystemCallErrorNumber=EPERM",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_SYS_CHROOT",
        "AmbientCapabilities=CAP_SYS_CHROOT",
        "LimitCORE=0",
        "TasksMax=512",
    )


def serve(model: Path, revision: str, request: dict[str, Any]) -> dict[str, Any]:
    """Let the fleet's members read the verified files, until `stop-serving`, or `lifetime` seconds.

    A transient unit of systemd, and a timer that ends it: a controller that dies leaves no port
    open for longer. Serving again renews it under a new secret.
    """
    stop_serving()
    source = _what_to_serve(model, revision, whole=bool(request.get("whole")))
    port, lifetime = _number(request, "port", 65535), _number(request, "lifetime", 86400)
    secret = request.get("secret")
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise Failure("the secret of this run is not one")
    address = listening_address(request)
    allowed = sorted({address, *addresses_of(request["members"])})
    configuration = daemon_configuration(
        request,
        address=address,
        export=PEER_FOLDER / "export",
        # Where systemd puts what LoadCredential and RuntimeDirectory name.
        secret=Path(f"/run/credentials/{PEER_UNIT}.service/secret"),
        lock=Path(f"/run/{PEER_UNIT}-daemon/lock"),
    )
    rate = [f"--bwlimit={_number(request, 'rate', 10**9)}"] if request.get("rate") else []
    PEER_FOLDER.mkdir(mode=0o755)
    (PEER_FOLDER / "export").mkdir()
    for name, text, mode in (
        ("secret", f"{PEER_USER}:{secret}\n", 0o600),
        ("rsyncd.conf", configuration, 0o644),
    ):
        with os.fdopen(os.open(PEER_FOLDER / name, os.O_CREAT | os.O_WRONLY, mode), "w") as file:
            file.write(text)
    _systemd(
        *("systemd-run", "--quiet", "--collect", f"--unit={PEER_UNIT}"),
        *(f"--property={each}" for each in unit_properties(source, allowed)),
        *("rsync", "--daemon", "--no-detach", f"--config={PEER_FOLDER}/rsyncd.conf", *rate),
    )
    _systemd(
        *("systemd-run", "--quiet", "--collect", f"--unit={PEER_UNIT}-end"),
        f"--on-active={lifetime}",
        *("systemctl", "stop", f"{PEER_UNIT}.service"),
    )
    _wait_for_port(address, port)
    return {}


def _what_to_serve(model: Path, revision: str, *, whole: bool) -> Path:
    # The verified files of a host that is being put right are not in what it has published: that
    # may be damaged, and is removed in the middle. Of a whole one the other is a leftover.
    partial = model / f".partial-{revision}"
    source = model / revision if whole or not partial.exists() else partial
    if source.is_symlink() or not source.is_dir() or not is_ours(source.stat()):
        raise Failure(f"cannot serve peers: {source} is not a folder of root's own")
    return source


def _number(request: dict[str, Any], name: str, most: int) -> int:
    value = request.get(name)
    if type(value) is not int or not 0 < value <= most:
        raise Failure(f"{name} is {value!a}; expected a number from 1 to {most}")
    return value


def keep_serving() -> dict[str, Any]:
    """Put the end off by another `lifetime`."""
    done = subprocess.run(
        ["systemctl", "restart", f"{PEER_UNIT}-end.timer"], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise Failure("it serves its peers no longer: its time was over")
    return {}


def stop_serving() -> dict[str, Any]:
    """Close the port and forget the secret."""
    for unit in (f"{PEER_UNIT}-end.timer", f"{PEER_UNIT}.service"):
        subprocess.run(["systemctl", "stop", "--quiet", unit], capture_output=True, check=False)
    # Nothing of this may ever reach what `export` showed to the daemon: no removal in depth.
    for name in ("secret", "rsyncd.conf", "pid", "lock"):
        (PEER_FOLDER / name).unlink(missing_ok=True)
    for folder in (PEER_FOLDER / "export", PEER_FOLDER):
        if folder.exists():
            folder.rmdir()
    return {}


def _systemd(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        stop_serving()
        raise Failure(f"cannot serve peers: {one_line(done.stderr)}")


def _wait_for_port(address: str, port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            # From the address that peers and this host alone may connect from.
            socket.create_connection((address, port), 1, source_address=(address, 0)).close()
        except OSError as error:
            unit = f"{PEER_UNIT}.service"
            active = subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False)
            if active.returncode != 0 or time.monotonic() > deadline:
                journal = ["journalctl", f"--unit={unit}", "--lines=3", "--output=cat"]
                said = subprocess.run(journal, capture_output=True, text=True, check=False).stdout
                stop_serving()
                raise Failure(
                    f"cannot serve peers, nothing listens on port {port}: {one_line(said)}"
                ) from error
            time.sleep(0.02)
        else:
            return
