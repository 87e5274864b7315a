"""Say what a commit consists of."""

from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.failures import SourceRefuses
from fortyninety.host.snapshot.hub import hub_errors, retried
from fortyninety.host.snapshot.mirror import manifest_of


def index(source: dict[str, Any]) -> dict[str, Any]:
    """What the commit consists of: the hub's metadata, or the manifest of a mirror or a folder."""
    place = source.get("source")
    if place is not None:
        manifest = manifest_of(place)
        if manifest is not None:
            return {"files": [vars(file) for file in manifest]}
    with hub_errors(source):
        from huggingface_hub import HfApi  # noqa: PLC0415

        hub = HfApi(endpoint=source.get("endpoint"), token=source.get("token") or False)
        info = retried(
            lambda: hub.model_info(
                source["repository"], revision=source["revision"], files_metadata=True
            ),
            source,
            lambda: 0,
        )
    if info.sha != source["revision"]:
        raise SourceRefuses(f"the hub answers commit {info.sha}; expected {source['revision']}")
    return {
        "files": [
            vars(
                File(
                    each.rfilename,
                    each.size,
                    each.lfs.sha256 if each.lfs is not None else None,
                    each.blob_id,
                )
            )
            for each in info.siblings or []
        ]
    }
