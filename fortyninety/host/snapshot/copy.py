"""Keep a second copy of a published snapshot on another disk."""

import shutil
from pathlib import Path
from typing import Any

from fortyninety.host.snapshot.digest import refuse_wrong
from fortyninety.host.snapshot.places import Places, make_folders
from fortyninety.host.snapshot.present import inspect
from fortyninety.host.snapshot.publish import publish
from fortyninety.host.snapshot.verified import accept
from fortyninety.host.snapshot.verify import read_manifest


def copy(published: Path, second_copy: Path) -> dict[str, Any]:
    """Keep the published snapshot on another disk too, hashed there, by the same one rename."""
    places = Places(second_copy.parent, second_copy.name)
    files = read_manifest(published)
    make_folders(places)
    present = inspect(places, files, None)["verified"]
    for file in files:
        if file.path in present:
            continue
        arrived = places.incoming / "mirror" / file.path
        arrived.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(published / file.path, arrived)
        accept(places, file, arrived, refuse_wrong(arrived, file, str(published)))
    return publish(places, files)
