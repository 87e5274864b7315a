"""Find what is on this host already, and whether the disk has room for the rest."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import in_parallel, refuse_wrong
from fortyninety.host.snapshot.failures import Failure, WrongBytes
from fortyninety.host.snapshot.places import MANIFEST, Places, names_below
from fortyninety.host.snapshot.verified import note_verified, noted
from fortyninety.host.snapshot.verify import read_manifest

# Left free beside the snapshot, in bytes: a disk that is full to the brim serves nobody.
FREE_MARGIN = 2 * 10**9


def inspect(places: Places, files: list[File], second_copy: Path | None) -> dict[str, Any]:
    """Put everything right that is on this host into `.partial-COMMIT`, each byte of it hashed.

    It may come from a fetch that was cut, from the published snapshot where only a part of it is
    damaged, from another commit with the same file, and from the second copy. Raises Failure where
    what is missing would not fit onto the disk.

    The answer also says what has begun to arrive from outside, in bytes: this host goes on with it.
    """
    wanted = {file.path for file in files}
    for name in [each for each in names_below(places.partial) if each not in wanted]:
        (places.partial / name).unlink()  # nothing is published that the commit does not have
    known = noted(places)
    siblings = _same_files_of_other_commits(places)

    def find(file: File) -> str | None:
        if file.path in known:
            return known[file.path]
        here = places.partial / file.path
        inside = [here, places.published / file.path, *siblings.get((file.sha256, file.size), [])]
        if file.sha256 is None:
            inside += [commit / file.path for commit in _other_commits(places)]
        on_their_way = [places.incoming / kind / file.path for kind in ("hub", "peer", "mirror")]
        outside = [second_copy / file.path] if second_copy is not None else []
        for candidate in (*inside, *on_their_way, *outside):
            sha256 = _right(candidate, file)
            if sha256 is None:
                continue
            if candidate != here:
                here.parent.mkdir(parents=True, exist_ok=True)
                here.unlink(missing_ok=True)
            if candidate in on_their_way:
                candidate.rename(here)
            elif candidate in outside:
                shutil.copyfile(candidate, here)
                sha256 = _right(here, file)
            elif candidate != here:
                os.link(candidate, here)
            if sha256 is not None:
                here.chmod(0o644)
                note_verified(places, file, sha256)
                return sha256
        here.unlink(missing_ok=True)
        return None

    digests = in_parallel(find, files)
    refuse_full_disk(places, files, [each is not None for each in digests])
    return {
        "verified": {
            file.path: sha256
            for file, sha256 in zip(files, digests, strict=True)
            if sha256 is not None
        },
        "begun": {
            file.path: size
            for file, sha256 in zip(files, digests, strict=True)
            if sha256 is None and (size := _begun(places, file))
        },
    }


def _begun(places: Places, file: File) -> int:
    """How many bytes of a file a cut fetch from the hub or a mirror left here."""
    # The hub's client calls it after the content, huggingface_hub/_local_folder.py (1.17).
    names = [f"*.{content}.incomplete" for content in (file.sha256, file.blob) if content]
    arrived = [places.incoming / "mirror" / file.path]
    for name in names:
        arrived += (places.incoming / "hub").rglob(name)
    return max((path.stat().st_size for path in arrived if path.is_file()), default=0)


def _right(path: Path, file: File) -> str | None:
    if not path.is_file() or path.stat().st_size != file.size:
        return None
    try:
        return refuse_wrong(path, file, "here")
    except (WrongBytes, OSError):
        return None


def _same_files_of_other_commits(places: Places) -> dict[tuple[str | None, int], list[Path]]:
    found: dict[tuple[str | None, int], list[Path]] = {}
    for commit in _other_commits(places):
        with contextlib.suppress(Failure):
            for file in read_manifest(commit):
                found.setdefault((file.sha256, file.size), []).append(commit / file.path)
    return found


def _other_commits(places: Places) -> list[Path]:
    commits = [manifest.parent for manifest in places.model.glob(f"[!.]*/{MANIFEST}")]
    return [each for each in commits if not each.is_symlink() and each != places.published]


def refuse_full_disk(places: Places, files: list[File], present: list[bool]) -> None:
    """Raise Failure where what is still to be fetched would not fit, before the first byte."""
    missing = sum(file.size for file, is_here in zip(files, present, strict=True) if not is_here)
    if not missing:
        return
    arrived = (places.incoming / name for name in names_below(places.incoming))
    begun = sum(path.stat().st_size for path in arrived)
    free = shutil.disk_usage(places.model).free
    needed = max(0, missing - begun) + FREE_MARGIN
    if free < needed:
        raise Failure(
            f"{places.model} has {free / 1e9:.1f} GB free; {needed / 1e9:.1f} GB are needed "
            f"(still to fetch {missing / 1e9:.1f} GB, of which here {begun / 1e9:.1f} GB, "
            f"margin {FREE_MARGIN / 1e9:.1f} GB)"
        )
