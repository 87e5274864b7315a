"""The program that fetches a checkpoint on a host, against a hub, as a process of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fortyninety.host.fetch_snapshot import Failure, refuse_full_disk
from tests.unit.serving_hub import CONTENTS, REPOSITORY, SHARD, Hub, ServeHub

PROGRAM = Path(__file__).resolve().parents[2] / "fortyninety" / "host" / "fetch_snapshot.py"


def start(hub: Hub, directory: Path, revision: str | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, str(PROGRAM), "--repository", REPOSITORY),
            *("--revision", revision or hub.commit, "--directory", str(directory)),
        ],
        env={**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch(hub: Hub, directory: Path, revision: str | None = None) -> tuple[int, str]:
    process = start(hub, directory, revision)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


def fetched(hub: Hub) -> set[str]:
    """The files whose content the hub was asked for."""
    return {
        line[1].partition(f"/resolve/{hub.commit}/")[2]
        for line in hub.lines()
        if line[0] == "GET" and "/resolve/" in line[1]
    }


def assert_published(hub: Hub, directory: Path) -> None:
    snapshot = directory / hub.commit
    manifest = {}
    for line in (snapshot / ".fortyninety-manifest").read_text().splitlines():
        digest, size, path = line.split("  ")
        manifest[path] = (digest, int(size))
    assert manifest == {
        path: (hashlib.sha256(content).hexdigest(), len(content))
        for path, content in CONTENTS.items()
    }
    for path, content in CONTENTS.items():
        assert (snapshot / path).read_bytes() == content
    present = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()}
    assert present == {*CONTENTS, ".fortyninety-manifest"}
    assert [path.name for path in directory.iterdir()] == [hub.commit]


def test_every_file_is_published_under_the_commit(hub: Hub, tmp_path: Path) -> None:
    code, output = fetch(hub, tmp_path / "model")
    assert code == 0, output
    assert f"published {hub.commit}" in output
    assert_published(hub, tmp_path / "model")


def test_a_wrong_file_of_an_earlier_fetch_is_fetched_again_alone(hub: Hub, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    assert fetch(hub, directory)[0] == 0
    # A cut just before the publication, and a byte that flipped on the disk.
    partial = directory / f".partial-{hub.commit}"
    (directory / hub.commit).rename(partial)
    (partial / ".fortyninety-manifest").unlink()
    content = bytearray(CONTENTS[SHARD])
    content[1000] ^= 1
    (partial / SHARD).write_bytes(content)
    metadata = partial / ".cache" / "huggingface" / "download"
    for path in CONTENTS:
        note = metadata / f"{path}.metadata"
        note.parent.mkdir(parents=True, exist_ok=True)
        # As the client writes it: the commit, the entity tag, and a time after the file's own.
        note.write_text(f"{hub.commit}\nsome-tag\n{time.time() + 60}\n")
    hub.log.write_text("")
    code, output = fetch(hub, directory)
    assert code == 0, output
    assert_published(hub, directory)
    assert fetched(hub) == {SHARD}


def test_a_fetch_that_was_killed_publishes_nothing_and_is_finished_by_the_next(
    serve_hub: ServeHub, tmp_path: Path
) -> None:
    directory = tmp_path / "model"
    slow = serve_hub(200_000)
    process = start(slow, directory)
    partial = directory / f".partial-{slow.commit}"
    deadline = time.monotonic() + 30
    while not (partial / "config.json").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (directory / slow.commit).exists()

    fast = serve_hub()
    code, output = fetch(fast, directory)
    assert code == 0, output
    assert_published(fast, directory)
    assert "config.json" not in fetched(fast)


def test_a_damaged_snapshot_is_replaced_by_a_whole_one(hub: Hub, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    assert fetch(hub, directory)[0] == 0
    (directory / hub.commit / SHARD).write_bytes(b"short")
    (directory / hub.commit / "stray").write_text("")
    code, output = fetch(hub, directory)
    assert code == 0, output
    assert_published(hub, directory)


@pytest.mark.parametrize("name", ["stray", "sub/stray"])
def test_what_the_hub_does_not_list_is_not_published(hub: Hub, tmp_path: Path, name: str) -> None:
    stray = tmp_path / "model" / f".partial-{hub.commit}" / name
    stray.parent.mkdir(parents=True)
    stray.write_text("")
    assert fetch(hub, tmp_path / "model")[0] == 0
    assert not (tmp_path / "model" / hub.commit / name).exists()


def test_an_unknown_commit_is_said_in_one_line(hub: Hub, tmp_path: Path) -> None:
    code, output = fetch(hub, tmp_path / "model", "0" * 40)
    assert code == 1
    assert output == f"{REPOSITORY}: the hub has no commit {'0' * 40} of it\n"


def test_a_hub_that_is_down_is_said_in_one_line(serve_hub: ServeHub, tmp_path: Path) -> None:
    hub = serve_hub()
    gone = Hub(hub.root, ("127.0.0.1", 9), hub.log)
    code, output = fetch(gone, tmp_path / "model")
    assert code == 1
    assert output.startswith(f"{REPOSITORY}: the fetch was cut (")
    assert len(output.splitlines()) == 1


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"GB free; 1000000002\.0 GB are needed"):
        refuse_full_disk(tmp_path, [SimpleNamespace(size=10**18)], tmp_path)
