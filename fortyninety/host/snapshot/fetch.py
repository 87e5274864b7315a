"""Bring files here from one source, and hash each before it counts."""

from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import refuse_wrong
from fortyninety.host.snapshot.failures import WrongBytes
from fortyninety.host.snapshot.hub import from_hub
from fortyninety.host.snapshot.mirror import from_mirror
from fortyninety.host.snapshot.peer import from_peer
from fortyninety.host.snapshot.places import Places
from fortyninety.host.snapshot.verified import accept

# Times that a file is fetched from one source before its digest counts as wrong there.
FETCH_ATTEMPTS = 2


def fetch(places: Places, files: list[File], source: dict[str, Any]) -> dict[str, Any]:
    """Bring files here from one source, and hash each before it counts.

    Raises Cut, WrongBytes or SourceRefuses; files that were right before that stay, and a cut one
    goes on from where it was the next time.
    """
    verified = {}
    for file in files:
        if source["kind"] == "peer":
            sha256 = from_peer(places, file, source)
        else:
            sha256 = _with_second_try(places, file, source)
        verified[file.path] = sha256
    return {"verified": verified}


def _with_second_try(places: Places, file: File, source: dict[str, Any]) -> str:
    """A file whose digest is wrong is fetched again, alone and from its beginning."""
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        if source["kind"] == "hub":
            arrived, where = from_hub(places, file, source, again=attempt > 1), "the hub"
        else:
            arrived, where = from_mirror(places, file, source), source["source"]
        try:
            sha256 = refuse_wrong(arrived, file, where)
        except WrongBytes as wrong:
            arrived.unlink(missing_ok=True)
            if attempt == FETCH_ATTEMPTS:
                raise WrongBytes(f"{wrong} ({attempt} times)") from wrong
        else:
            accept(places, file, arrived, sha256)
            return sha256
    raise AssertionError("unreachable")
