"""Read the manifest of a published snapshot."""

from fortyninety.on_host.checkpoint_files import LONGEST_TEXT, File, FileListError, parse_manifest
from fortyninety.on_host.snapshot.failures import Failure
from fortyninety.on_host.snapshot.folder import Folder
from fortyninety.on_host.snapshot.places import MANIFEST


def read_manifest(published: Folder) -> tuple[File, ...]:
    """Return the files of a published snapshot. Raises Failure where no manifest says them."""
    try:
        return parse_manifest(published.read_text(MANIFEST, LONGEST_TEXT))
    except FileNotFoundError as error:
        raise Failure(f"no snapshot is published in {published.path}") from error
    except FileListError as error:
        raise Failure(f"{published.path / MANIFEST} cannot be used: {error}") from error
    except (OSError, ValueError) as error:
        raise Failure(f"{published.path / MANIFEST} cannot be read: {error}") from error
