"""Read from a mirror over HTTP or from a folder."""

import shutil
from pathlib import Path
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import BUFFER
from fortyninety.host.snapshot.failures import Cut, SourceRefuses
from fortyninety.host.snapshot.hub import hub_errors, retried
from fortyninety.host.snapshot.places import MANIFEST, Places
from fortyninety.host.snapshot.verify import read_manifest


def manifest_of(place: str) -> list[File] | None:
    """The manifest of a mirror or a folder, where it has one, as a published snapshot has."""
    if place.startswith("/"):
        return read_manifest(Path(place)) if (Path(place) / MANIFEST).is_file() else None
    import httpx  # noqa: PLC0415

    try:
        answer = httpx.get(f"{place}/{MANIFEST}", timeout=10, follow_redirects=True)
    except httpx.HTTPError as error:
        raise Cut(f"{place} is out of reach: {error}") from error
    if answer.status_code != 200:
        return None
    split = [line.split("  ", 2) for line in answer.text.splitlines()]
    return [File(path, int(size), sha256, None) for sha256, size, path in split]


def from_mirror(places: Places, file: File, source: dict[str, Any]) -> Path:
    arrived = places.incoming / "mirror" / file.path
    arrived.parent.mkdir(parents=True, exist_ok=True)
    place = source["source"]
    if place.startswith("/"):
        try:
            shutil.copyfile(f"{place}/{file.path}", arrived)
        except FileNotFoundError as error:
            raise SourceRefuses(f"{place}/{file.path} is not there") from error
        return arrived
    with hub_errors(source):
        # The hub client's own way of getting an address: it resumes, and it is there already.
        from huggingface_hub import constants  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415

        constants.DOWNLOAD_CHUNK_SIZE = BUFFER

        def get() -> None:
            with arrived.open("ab") as stream:
                have = stream.tell()
                if have < file.size:
                    http_get(f"{place}/{file.path}", stream, resume_size=have)

        retried(get, source, lambda: arrived.stat().st_size if arrived.exists() else 0)
    return arrived
