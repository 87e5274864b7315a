"""Let the fleet's members read what was verified here."""

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from fortyninety.host.snapshot.failures import Failure
from fortyninety.host.snapshot.places import Places

# What a serving host runs for its peers, and what ends it even if nobody comes back to.
PEER_UNIT = "fortyninety-snapshot-peer"
PEER_FOLDER = Path("/run/fortyninety-snapshot-peer")
PEER_USER = "snapshot"


def daemon_configuration(folder: Path, request: dict[str, Any]) -> str:
    """rsync's configuration: one folder, read only, for the members of the fleet with the secret.

    `folder` has the secret and, as `export`, the files.
    """
    addresses = {str(entry[4][0]) for member in request["members"] for entry in _addresses(member)}
    return f"""\
port = {request["port"]}
pid file = {folder}/pid
lock file = {folder}/lock
use chroot = yes
uid = {request.get("user", "nobody")}
gid = {request.get("group", "nogroup")}
[snapshot]
path = {folder}/export
read only = yes
list = no
max connections = {2 + len(addresses)}
auth users = {PEER_USER}
secrets file = {folder}/secret
hosts allow = {" ".join(sorted(addresses))}
hosts deny = *
"""


def _addresses(member: str) -> list[Any]:
    try:
        return socket.getaddrinfo(member, None, type=socket.SOCK_STREAM)
    except OSError:
        return []


def serve(places: Places, request: dict[str, Any]) -> dict[str, Any]:
    """Let the fleet's members read the verified files, until `stop-serving`, or `lifetime` seconds.

    A transient unit of systemd, and a timer that ends it: a controller that dies leaves no port
    open for longer. Serving again renews it under a new secret.
    """
    stop_serving()
    # The verified files of a host that is being put right are not in what it has published: that
    # may be damaged, and is removed in the middle. Of a whole one the other is a leftover.
    whole = request["whole"] or not places.partial.exists()
    source = places.published if whole else places.partial
    PEER_FOLDER.mkdir(mode=0o700)
    (PEER_FOLDER / "export").mkdir()
    for name, text in (
        ("secret", f"{PEER_USER}:{request['secret']}\n"),
        ("rsyncd.conf", daemon_configuration(PEER_FOLDER, request)),
    ):
        with os.fdopen(os.open(PEER_FOLDER / name, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
    properties = (
        # By the folder itself and not by its name: it goes on when the name changes.
        f"BindReadOnlyPaths={source}:{PEER_FOLDER}/export",
        f"ReadWritePaths={PEER_FOLDER}",
        # By name: below `export` are the verified files.
        f"ExecStopPost=/bin/rm -f {PEER_FOLDER}/secret {PEER_FOLDER}/rsyncd.conf",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=CAP_SYS_CHROOT CAP_SETUID CAP_SETGID CAP_DAC_READ_SEARCH",
    )
    rate = [f"--bwlimit={request['rate']}"] if request.get("rate") else []
    _systemd(
        *("systemd-run", "--quiet", "--collect", f"--unit={PEER_UNIT}"),
        *(f"--property={each}" for each in properties),
        *("rsync", "--daemon", "--no-detach", f"--config={PEER_FOLDER}/rsyncd.conf", *rate),
    )
    _systemd(
        *("systemd-run", "--quiet", "--collect", f"--unit={PEER_UNIT}-end"),
        f"--on-active={request['lifetime']}",
        *("systemctl", "stop", f"{PEER_UNIT}.service"),
    )
    _wait_for_port(request["port"])
    return {}


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
        raise Failure(f"cannot serve peers: {' '.join(done.stderr.split())}")


def _wait_for_port(port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            unit = f"{PEER_UNIT}.service"
            active = subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False)
            if active.returncode != 0 or time.monotonic() > deadline:
                journal = ["journalctl", f"--unit={unit}", "--lines=3", "--output=cat"]
                said = subprocess.run(journal, capture_output=True, text=True, check=False).stdout
                stop_serving()
                raise Failure(
                    f"cannot serve peers, nothing listens on port {port}: {' '.join(said.split())}"
                ) from error
            time.sleep(0.02)
        else:
            return
