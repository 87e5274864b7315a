"""Bring files here from one source, and hash each before it counts."""

from collections.abc import Sequence
from typing import Any

from fortyninety.on_host.checkpoint_files import File
from fortyninety.on_host.snapshot.places import Places
from fortyninety.on_host.snapshot.present import refuse_without_room
from fortyninety.on_host.snapshot.processes import ACCOUNT, fetching_account
from fortyninety.on_host.snapshot.sources import receive, source_of


def fetch(places: Places, files: Sequence[File], request: dict[str, Any]) -> dict[str, Any]:
    """Bring files here from the request's source.

    A request with `room` is the first on this host, which must have so many bytes free: it was not
    inspected, as nothing of the commit is here. Raises Failure where they are not, and Cut,
    WrongBytes or SourceRefuses; files that were right before that stay, and a cut one goes on from
    where it was the next time.
    """
    if room := request.get("room", 0):
        refuse_without_room(places, room)
    account = fetching_account(request.get("account", ACCOUNT))
    with source_of(places, request["source"], account) as source:
        return {"verified": {file.path: receive(source, places, file) for file in files}}
