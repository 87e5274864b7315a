"""Read from a peer's rsync daemon."""

import os
import subprocess
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import digest, refuse_wrong
from fortyninety.host.snapshot.failures import Cut, Failure, WrongBytes
from fortyninety.host.snapshot.places import Places
from fortyninety.host.snapshot.serve import PEER_USER
from fortyninety.host.snapshot.verified import accept


def from_peer(places: Places, file: File, source: dict[str, Any]) -> str:
    """One file from a peer's rsync daemon, hashed as it grows so that the link never waits."""
    arrived = places.incoming / "peer" / file.path
    arrived.parent.mkdir(parents=True, exist_ok=True)
    where = f"peer {source['name']}"
    address = f"[{source['address']}]" if ":" in source["address"] else source["address"]
    arrived.touch()
    rsync = subprocess.Popen(
        [
            # Appended to what a cut transfer left; whether that is right the digest says.
            *("rsync", "--inplace", "--append", "--no-motd", "--timeout=60", "--contimeout=10"),
            f"rsync://{PEER_USER}@{address}:{source['port']}/snapshot/{file.path}",
            str(arrived),
        ],
        env={**os.environ, "RSYNC_PASSWORD": source["secret"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        sha256 = digest(arrived, still_written=lambda: rsync.poll() is None)
    finally:
        rsync.terminate()
        errors = rsync.communicate()[1]
    if rsync.returncode != 0:
        lines = errors.strip().splitlines() or [f"rsync ended with {rsync.returncode}"]
        if rsync.returncode == 11:  # file I/O: this disk, not the peer
            raise Failure(f"{arrived} cannot be written: {lines[0]}")
        raise Cut(f"{file.path} from {where}: {lines[0]}")
    try:
        refuse_wrong(arrived, file, where, sha256)
    except WrongBytes:
        arrived.unlink()
        raise
    accept(places, file, arrived, sha256)
    return sha256
