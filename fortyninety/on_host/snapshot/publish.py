"""Give the verified files their name, all at once."""

import ctypes
import os
import stat
from collections.abc import Sequence
from typing import Any

from fortyninety.on_host.checkpoint_files import File, manifest_text
from fortyninety.on_host.snapshot.digest import check_file, in_parallel
from fortyninety.on_host.snapshot.failures import WrongBytes
from fortyninety.on_host.snapshot.folder import Folder, is_ours, write_all
from fortyninety.on_host.snapshot.lock import remove_lock
from fortyninety.on_host.snapshot.places import MANIFEST, Places
from fortyninety.on_host.snapshot.present import remove_strays
from fortyninety.on_host.snapshot.verified import noted


def publish(places: Places, files: Sequence[File]) -> dict[str, Any]:
    """Give the folder with every file its name, at once; what had it before is removed.

    Everything is on the disk before it has the name. Raises WrongBytes where a file is missing or
    was touched since it was hashed.
    """
    remove_strays(places, files)
    known = noted(places, files)

    def check(file: File) -> File:
        try:
            descriptor = places.partial.open_file(file.path)
        except OSError as error:
            raise WrongBytes(
                f"{file.path} from this host is missing; expected {file.size} bytes"
            ) from error
        try:
            if not is_ours(os.fstat(descriptor)):
                raise WrongBytes(f"{file.path} from this host belongs to others too")
            sha256 = known.get(file.path) or check_file(descriptor, file, "this host")
            os.fchmod(descriptor, 0o644)
        finally:
            os.close(descriptor)
        return File(file.path, file.size, sha256, None)

    hashed = in_parallel(check, list(files))
    for path, _ in places.partial.folders():
        with places.partial.make(path):
            pass
    manifest = places.partial.create(MANIFEST)
    try:
        write_all(manifest, manifest_text(hashed).encode())
        os.fchmod(manifest, 0o644)
        places.partial.synchronise()
        # The last of all to change: a file that is newer was written to after it was published.
        os.utime(manifest)
        os.fsync(manifest)
    finally:
        os.close(manifest)
    _give_name(places.model, places.partial_name, places.revision)
    places.model.remove(places.incoming_name)
    remove_lock(places.model, places.revision)
    return {"bytes": sum(file.size for file in files)}


def _give_name(model: Folder, partial: str, published: str) -> None:
    """Have the folder `partial` be the one that is called `published`, also after a power cut."""
    state = model.state(published)
    if state is not None and stat.S_ISDIR(state.st_mode):
        # At once, so that a reader finds a whole one at every moment.
        exchange(model, partial, published)
        os.fsync(model.descriptor)
        model.remove(partial)
    else:
        model.rename(partial, model, published)
    os.fsync(model.descriptor)


def exchange(folder: Folder, one: str, other: str) -> None:
    """Swap two names in a folder by one call of the kernel."""
    library = ctypes.CDLL(None, use_errno=True)
    swap = 2  # RENAME_EXCHANGE, renameat2(2)
    here = folder.descriptor
    if library.renameat2(here, os.fsencode(one), here, os.fsencode(other), swap) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder.path / other))
