"""Keep a second copy of a published snapshot on another disk."""

import os
from pathlib import Path
from typing import Any

from fortyninety.on_host.snapshot.arrival import Arrival, copy_in
from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.folder import Folder
from fortyninety.on_host.snapshot.lock import alone
from fortyninety.on_host.snapshot.manifest import read_manifest
from fortyninety.on_host.snapshot.places import open_model, opened, revision_of
from fortyninety.on_host.snapshot.present import inspect
from fortyninety.on_host.snapshot.publish import publish


def copy(published: Path, second_copy: Path) -> dict[str, Any]:
    """Keep the published snapshot on another disk too, hashed there, by the same one rename."""
    revision = revision_of(second_copy.name)
    if published == second_copy:
        raise Failure(f"{second_copy} is the snapshot itself; expected a folder on another disk")
    with Folder.open(published) as source, open_model(str(second_copy.parent)) as model:
        files = read_manifest(source)
        with alone(model, revision), opened(model, revision) as places:
            present = inspect(places, files, None)["verified"]
            for file in files:
                if file.path in present:
                    continue
                descriptor = source.open_file(file.path)
                try:
                    with Arrival(places, file, str(published)) as arrival:
                        arrival.restart()
                        copy_in(descriptor, arrival)
                        arrival.accept()
                finally:
                    os.close(descriptor)
            return publish(places, files)
