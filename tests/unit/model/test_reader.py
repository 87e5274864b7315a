"""Where a checkpoint's sizes come from, and what is said where they cannot be had."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.weights import computed_weights
from fortyninety.model import sizes as checkpoint_sizes
from fortyninety.model.checkpoint import hub_checkpoint
from fortyninety.model.file_list import keep_file_list
from fortyninety.model.folder_list import folder_files
from fortyninety.model.reader import (
    LONGEST_HEADER,
    folder_weights,
    index_shards,
    parse_object,
    shard_tensors,
)
from lab.hub.repository import head_commit
from lab.tiny_model import AWQ, PLAIN, write_repository
from tests.unit.serving_hub import Hub, ServeHub

INDEX = "model.safetensors.index.json"


@pytest.fixture
def tiny(root: Path) -> Path:
    """The lab's tiny AWQ model in the hub's folder."""
    return write_repository(root, AWQ)


@pytest.fixture
def tiny_hub(tiny: Path, serve_hub: ServeHub, trusted: Path) -> Hub:
    return serve_hub(certificate=trusted)


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
    # One request for each: nearly every header is in the first bytes that are asked for.
    assert len(tiny_hub.lines()) == len(sent)


def test_a_repository_that_is_not_there_and_one_whose_shard_is_not(
    tiny: Path, tiny_hub: Hub
) -> None:
    with pytest.raises(CheckpointError, match="check the name, the revision"):
        hub_checkpoint("nobody/nothing", endpoint=tiny_hub.endpoint)
    shard = sorted(tiny.glob("*.safetensors"))[0]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"has no {shard.name} .*which its index names"):
        hub_checkpoint(AWQ.repository, endpoint=tiny_hub.endpoint)


def test_a_hub_that_does_not_answer_is_said_with_what_to_do(closed: int) -> None:
    endpoint = f"https://127.0.0.1:{closed}"
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


def test_over_http_only_what_the_list_of_files_proves_is_taken(
    tiny: Path, serve_hub: ServeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hub = serve_hub()
    commit = head_commit(hub.root, AWQ.repository)
    sizes = checkpoint_sizes.checkpoint_sizes
    with pytest.raises(CheckpointError, match="is not https"):
        sizes(AWQ.repository, commit, hub.endpoint)
    assert hub.lines() == []
    keep_file_list(AWQ.repository, commit, folder_files(tiny), "a folder")
    found = sizes(AWQ.repository, commit, hub.endpoint, "hf_secret")
    assert found.total == folder_weights(tiny).total
    assert [line[1].rpartition("/")[2] for line in hub.lines()] == ["config.json"]
    for kept in (tmp_path / "cache").rglob(f"*{commit}.json"):
        kept.unlink()
    config = (tiny / "config.json").read_bytes()
    hub.faults.flipped["config.json"] = config.index(b"hidden_size")
    with pytest.raises(CheckpointError, match=r"config\.json of .* has SHA-256"):
        sizes(AWQ.repository, commit, hub.endpoint)


def header(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(content) if length is None else length) + content


def tensor(**values: object) -> bytes:
    return header(json.dumps({"a": values}).encode())


HOSTILE_SHARDS = [
    b"",
    b"\xff" * 64,
    header(b"{}", LONGEST_HEADER + 1),
    header(b"[]"),
    header(b"7"),
    header(b"[" * 10**5),
    header(b'{"a":' * 10**5),
    header(b'{"a": 9' + b"9" * 10**4 + b"}"),
    header(b"\xff\xff"),
    header(b'{"a": null}'),
    header(b'{"a": []}'),
    tensor(),
    tensor(data_offsets=None),
    tensor(data_offsets=7),
    tensor(data_offsets={"0": 1}),
    tensor(data_offsets="01"),
    tensor(data_offsets=[0]),
    tensor(data_offsets=[0, 1, 2]),
    tensor(data_offsets=[None, 1]),
    tensor(data_offsets=["0", "1"]),
    tensor(data_offsets=[0.0, 1.5]),
    tensor(data_offsets=[False, 1]),
    tensor(data_offsets=[0, True]),
    tensor(data_offsets=[2, 1]),
    tensor(data_offsets=[-1, 1]),
    tensor(data_offsets=[0, 10**400]),
    header(b'{"a\\u001b[2J": {"data_offsets": [0, 1]}}'),
    header(b'{"' + b"a" * 600 + b'": {"data_offsets": [0, 1]}}'),
]


@pytest.mark.parametrize("content", HOSTILE_SHARDS, ids=range(len(HOSTILE_SHARDS)))
def test_a_hostile_header_is_one_line(content: bytes) -> None:
    with pytest.raises(CheckpointError) as refused:
        list(shard_tensors(["a.safetensors"], lambda _, at, size: content[at : at + size]))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_headers_are_bounded_together() -> None:
    many = header(b"{" + b" " * (LONGEST_HEADER - 2) + b"}")
    read = []

    def part(shard: str, at: int, size: int) -> bytes:
        read.append(size)
        return many[at : at + size]

    with pytest.raises(CheckpointError, match="more than 33554432 bytes"):
        list(shard_tensors([f"{number}.safetensors" for number in range(50)], part))
    assert sum(read) <= 4 * LONGEST_HEADER + 50 * 8


@pytest.mark.parametrize(
    "weight_map",
    [
        None,
        {},
        [],
        "a",
        {"a": None},
        {"a": 7},
        {"a": ["b"]},
        {"a": {"b": "c"}},
        {"a": "/etc/shadow"},
        {"a": "../../shadow"},
        {"a": "b/../../c"},
        {"a": ""},
        {"a": "b\x1b[2J"},
        {"a": "b\nc"},
        {"a": "\udc80"},
        {str(number): f"{number}.safetensors" for number in range(2001)},
    ],
)
def test_a_hostile_index_is_one_line(weight_map: object) -> None:
    with pytest.raises(CheckpointError) as refused:
        index_shards({"weight_map": weight_map}, "the index")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("total", [None, "7", [], -1, 10**400, 1e308, {"a": 1}])
def test_a_total_that_cannot_be_is_no_traceback(tiny: Path, total: object) -> None:
    for shard in tiny.glob("*.safetensors"):
        shard.unlink()
    index = parse_object((tiny / INDEX).read_bytes(), INDEX)
    for metadata in ({"total_size": total}, total):
        (tiny / INDEX).write_text(json.dumps({**index, "metadata": metadata}))
        try:
            folder_weights(tiny)
        except CheckpointError as error:
            assert "total_size that cannot be" in str(error)
