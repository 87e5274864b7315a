"""The checkpoint on disk, against what the hub says of its commit."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import requests
from testinfra.host import Host

from fortyninety.settings import Settings
from tests.host.live_process import argument

PUBLIC_HUB = "https://huggingface.co"


@pytest.fixture(scope="session")
def hub_files(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every file of the pinned commit with its size and digest, from the hub's own metadata."""
    hub = settings.hub_endpoint or PUBLIC_HUB
    address = f"{hub}/api/models/{settings.model_repository}/revision/{settings.model_revision}"
    try:
        answer = requests.get(address, params={"blobs": "true"}, timeout=30)
        answer.raise_for_status()
    except requests.RequestException as error:
        pytest.skip(f"the hub cannot be asked what is right: {error}")
    return {each["rfilename"]: each for each in answer.json()["siblings"]}


def test_the_engine_serves_the_pinned_commit(host: Host, settings: Settings) -> None:
    """An engine on another commit answers with another model under the same name."""
    path = argument(host, "--model")
    assert path is not None and path.endswith(f"/{settings.model_revision}"), (
        f"the process serves {path}; expected commit {settings.model_revision}. Deploy again"
    )


def test_nothing_of_the_handing_on_is_left(host: Host, settings: Settings) -> None:
    """A port that stays open lets the network read the weights."""
    units = host.run("systemctl list-units --no-legend --plain 'fortyninety-snapshot-peer*'").stdout
    assert units == "", f"{units.strip()} is still there. Run systemctl stop on it"
    listening = host.run(f"ss -Hltn 'sport = :{settings.peer_port}'").stdout
    assert listening == "", f"port {settings.peer_port} is open: {listening.strip()}"


def test_every_file_has_the_hash_that_the_hub_publishes(
    host: Host, settings: Settings, hub_files: dict[str, dict[str, Any]]
) -> None:
    """A flipped byte in 40 GB of weights does not crash: it answers nonsense."""
    name = settings.model_repository.partition("/")[2]
    directory = f"{settings.models_directory}/{name}/{settings.model_revision}"
    for path, entry in hub_files.items():
        file = host.file(f"{directory}/{path}")
        assert file.exists, f"{directory}/{path} is missing. Deploy again"
        assert file.size == entry["size"], (
            f"{path} has {file.size} bytes; expected {entry['size']}. Deploy again"
        )
        if lfs := entry.get("lfs"):
            expected, found = lfs["sha256"], file.sha256sum
        else:
            content = file.content
            blob = b"blob %d\0" % len(content) + content
            expected = entry["blobId"]
            found = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
        assert found == expected, (
            f"{path} has digest {found}; the hub says {expected}. Remove {directory} and deploy "
            "again"
        )
