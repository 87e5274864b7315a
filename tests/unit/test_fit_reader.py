"""Where a checkpoint's sizes come from, and what is said where they cannot be had."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from fortyninety import checkpoint_sizes
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.reader import folder_weights, hub_checkpoint
from fortyninety.fit.weights import computed_weights
from lab.hub.repository import head_commit
from lab.tiny_model import AWQ, PLAIN, write_repository
from tests.unit.serving_hub import Hub, ServeHub

INDEX = "model.safetensors.index.json"


@pytest.fixture
def tiny(root: Path) -> Path:
    """The lab's tiny AWQ model in the hub's folder."""
    return write_repository(root, AWQ)


@pytest.fixture
def tiny_hub(tiny: Path, serve_hub: ServeHub) -> Hub:
    return serve_hub()


def test_shards_headers_come_to_what_config_json_says(tiny: Path, tmp_path: Path) -> None:
    read = folder_weights(tiny)
    assert read.source == "read from the shards' headers"
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tiny / "config.json", alone)
    computed = folder_weights(alone)
    assert computed.source == "computed from config.json"
    assert {t.name: t.size for t in read.tensors} == {t.name: t.size for t in computed.tensors}


def test_plain_weights_come_to_what_config_json_says_as_well(root: Path, tmp_path: Path) -> None:
    plain = write_repository(root, PLAIN)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(plain / "config.json", alone)
    read, computed = folder_weights(plain), folder_weights(alone)
    assert read.architecture.quantization is None
    assert {t.name: t.size for t in read.tensors} == {t.name: t.size for t in computed.tensors}


def test_an_index_without_its_shards_is_enough_where_it_agrees(tiny: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(tiny / "config.json", alone)
    shutil.copy(tiny / INDEX, alone)
    assert folder_weights(alone).source == "computed from config.json, as the index says"
    index = json.loads((alone / INDEX).read_text())
    index["metadata"]["total_size"] *= 2
    (alone / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="expected the two to agree"):
        folder_weights(alone)


def test_a_shard_that_is_missing_is_named(tiny: Path) -> None:
    first = sorted(tiny.glob("*.safetensors"))[0]
    first.unlink()
    with pytest.raises(CheckpointError, match=rf"{first.name} is missing"):
        folder_weights(tiny)


def test_shards_without_an_index_are_refused(tiny: Path) -> None:
    (tiny / INDEX).unlink()
    with pytest.raises(CheckpointError, match=f"no {INDEX}"):
        folder_weights(tiny)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "does not begin with a safetensors header"),
        (b"\xff" * 64, "does not begin with a safetensors header"),
        (b"\x08\0\0\0\0\0\0\0not json", "is no JSON"),
    ],
)
def test_a_shard_that_is_none_is_refused(tiny: Path, content: bytes, expected: str) -> None:
    sorted(tiny.glob("*.safetensors"))[0].write_bytes(content)
    with pytest.raises(CheckpointError, match=expected):
        folder_weights(tiny)


def test_a_folder_without_config_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        folder_weights(tmp_path)


def test_a_hub_is_asked_for_beginnings_only(tiny: Path, tiny_hub: Hub) -> None:
    found = hub_checkpoint(AWQ.repository, endpoint=tiny_hub.endpoint).weights
    assert sum(t.size for t in found.tensors) == folder_weights(tiny).total
    assert found.total == computed_weights(found.architecture).total
    sent = {path.rpartition("/")[2]: int(sent) for _, path, _, sent, *_ in tiny_hub.lines()}
    assert set(sent) == {"config.json", INDEX, *(path.name for path in tiny.glob("*.safetensors"))}
    for shard in tiny.glob("*.safetensors"):
        assert sent[shard.name] < shard.stat().st_size / 2, shard.name


def test_a_repository_that_is_not_there_and_one_whose_shard_is_not(
    tiny: Path, tiny_hub: Hub
) -> None:
    with pytest.raises(CheckpointError, match="check the name, the revision"):
        hub_checkpoint("nobody/nothing", endpoint=tiny_hub.endpoint)
    shard = sorted(tiny.glob("*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"has no {shard.name} .*which its index names"):
        hub_checkpoint(AWQ.repository, endpoint=tiny_hub.endpoint)


def test_a_hub_that_does_not_answer_is_said_with_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(CheckpointError, match=r"give a folder with its config\.json"):
        hub_checkpoint("a/b", endpoint=endpoint)


def test_what_a_hub_said_of_a_commit_is_known_without_it_from_then_on(
    tiny_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    commit = head_commit(tiny_hub.root, AWQ.repository)
    sizes = checkpoint_sizes.checkpoint_sizes
    first = sizes(AWQ.repository, commit, tiny_hub.endpoint)
    asked = len(tiny_hub.lines())
    again = sizes(AWQ.repository, commit, tiny_hub.endpoint)
    assert len(tiny_hub.lines()) == asked
    assert again.tensors == first.tensors
    # A cache that was cut is no answer.
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(kept.read_text()[:100])
    assert sizes(AWQ.repository, commit, tiny_hub.endpoint).tensors == first.tensors
    assert len(tiny_hub.lines()) > asked
