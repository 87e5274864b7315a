"""The lab's hub, asked by the client that hosts fetch with and by plain HTTP."""

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from fortyninety.checkout import ROOT
from lab.hub.repository import head_commit
from tests.unit.serving_hub import CONTENTS, REPOSITORY, SHARD, Hub, ServeHub


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds; fail when it does not within a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited 60 s for {what}"
        time.sleep(0.01)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it says."""
    # What the machine's own git is configured to do must not show in the answer.
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_the_client_fetches_every_file_as_it_is(hub: Hub, tmp_path: Path) -> None:
    """The whole point: the real client, an empty folder, identical files."""
    target = tmp_path / "target"
    snapshot_download(REPOSITORY, revision=hub.commit, endpoint=hub.endpoint, local_dir=target)
    fetched = {name: (target / name).read_bytes() for name in CONTENTS}
    assert fetched == CONTENTS


def test_the_branch_main_is_the_commit_of_the_files(hub: Hub) -> None:
    """The deploy pins a commit; what `main` resolves to must be that one."""
    info = HfApi(endpoint=hub.endpoint).model_info(REPOSITORY, revision="main")
    assert info.sha == hub.commit


def test_model_information_gives_size_and_digest_of_every_file(hub: Hub) -> None:
    """Verification on a host rests on these: SHA-256 for shards, git's blob id for the rest."""
    api = HfApi(endpoint=hub.endpoint)
    info = api.model_info(REPOSITORY, revision=hub.commit, files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or []}
    assert {name: file.size for name, file in files.items()} == {
        name: len(content) for name, content in CONTENTS.items()
    }
    for name, content in CONTENTS.items():
        digest = files[name].lfs
        if name.endswith(".safetensors"):
            assert digest is not None
            assert digest.sha256 == hashlib.sha256(content).hexdigest()
        else:
            assert digest is None
            blob = b"blob %d\0" % len(content) + content
            assert files[name].blob_id == hashlib.sha1(blob).hexdigest()


def test_the_tree_says_the_same_as_the_model_information(hub: Hub) -> None:
    """The client lists by one and may verify by the other."""
    api = HfApi(endpoint=hub.endpoint)
    info = api.model_info(REPOSITORY, revision=hub.commit, files_metadata=True)
    siblings = {
        (file.rfilename, file.size, file.blob_id, file.lfs and file.lfs.sha256)
        for file in info.siblings or []
    }
    tree = api.list_repo_tree(REPOSITORY, revision=hub.commit, recursive=True)
    files = {
        (file.path, file.size, file.blob_id, file.lfs and file.lfs.sha256)
        for file in tree
        if hasattr(file, "blob_id")
    }
    assert files == siblings


def test_a_tree_that_is_not_recursive_stops_at_folders(hub: Hub) -> None:
    """As the real hub: the top shows the folder, the folder shows its file."""
    api = HfApi(endpoint=hub.endpoint)
    top = {entry.path for entry in api.list_repo_tree(REPOSITORY)}
    assert top == {"original", "config.json", SHARD, "model-00002-of-00002.safetensors"}
    inside = [entry.path for entry in api.list_repo_tree(REPOSITORY, "original")]
    assert inside == ["original/params.json"]


def test_the_commit_is_the_one_git_computes(hub: Hub, tmp_path: Path) -> None:
    """A commit that only this hub could make would not be a commit."""
    work = tmp_path / "work"
    shutil.copytree(hub.root / REPOSITORY, work)
    for path in work.glob("*.safetensors"):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        pointer = "version https://git-lfs.github.com/spec/v1\n"
        path.write_text(f"{pointer}oid sha256:{digest}\nsize {len(content)}\n")
    git(work, "init", "--quiet")
    git(work, "add", ".")
    identity = "fortyninety lab <lab@fortyninety.invalid> 1700000000 +0000"
    tree = git(work, "write-tree")
    commit = f"tree {tree}\nauthor {identity}\ncommitter {identity}\n\nSnapshot\n"
    (work / "commit").write_text(commit)
    assert git(work, "hash-object", "-t", "commit", "commit") == hub.commit


def test_the_commit_changes_with_a_file_while_the_hub_serves(hub: Hub) -> None:
    """A new checkpoint under the old commit would never reach a host."""
    before = hub.commit
    (hub.root / REPOSITORY / "config.json").write_text('{"model_type": "other"}\n')
    info = HfApi(endpoint=hub.endpoint).model_info(REPOSITORY)
    assert info.sha == hub.commit != before


def test_an_unknown_repository_revision_or_file_is_told_apart(hub: Hub) -> None:
    """The client raises a different error for each, and a host's message rests on it."""
    api = HfApi(endpoint=hub.endpoint)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("organisation/absent")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(REPOSITORY, revision="0" * 40)
    with pytest.raises(EntryNotFoundError):
        api.get_hf_file_metadata(url=f"{hub.endpoint}/{REPOSITORY}/resolve/main/absent.json")


@pytest.mark.parametrize(
    "path",
    [
        "/organisation/model/resolve/main/../../../outside",
        "/organisation/model/resolve/main/%2e%2e/%2e%2e/%2e%2e/outside",
        "/api/models/../outside",
        "/organisation/../resolve/main/outside",
    ],
)
def test_nothing_outside_the_folder_is_served(hub: Hub, path: str) -> None:
    """The hub listens on a network that hosts under test share."""
    (hub.root.parent / "outside").write_text("secret")
    status, _, body = hub.ask("GET", path)
    assert status == 404
    assert b"secret" not in body


def test_a_head_request_names_the_content_and_sends_none(hub: Hub) -> None:
    """The client decides by these headers what it has and how to verify it."""
    status, headers, body = hub.ask("HEAD", f"/{REPOSITORY}/resolve/{hub.commit}/{SHARD}")
    digest = hashlib.sha256(CONTENTS[SHARD]).hexdigest()
    assert (status, body) == (200, b"")
    assert headers["X-Repo-Commit"] == hub.commit
    assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{digest}"'
    assert headers["Content-Length"] == headers["X-Linked-Size"] == str(len(CONTENTS[SHARD]))


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=100-", 100, 1048575), ("bytes=0-9", 0, 9), ("bytes=-7", 1048569, 1048575)],
)
def test_a_range_gets_exactly_its_bytes(hub: Hub, asked: str, first: int, last: int) -> None:
    """Resuming appends what comes: one byte too many and the file is damaged."""
    path = f"/{REPOSITORY}/resolve/main/{SHARD}"
    status, headers, body = hub.ask("GET", path, Range=asked)
    assert status == 206
    assert headers["Content-Range"] == f"bytes {first}-{last}/1048576"
    assert body == CONTENTS[SHARD][first : last + 1]


def test_a_range_behind_the_end_is_refused(hub: Hub) -> None:
    """Else a client with a file that is too long would take an empty answer for success."""
    path = f"/{REPOSITORY}/resolve/main/{SHARD}"
    status, headers, _ = hub.ask("GET", path, Range="bytes=1048576-")
    assert (status, headers["Content-Range"]) == (416, "bytes */1048576")


def test_a_fetch_that_was_killed_goes_on_where_it_was(serve_hub: ServeHub, tmp_path: Path) -> None:
    """A cut in a 5 GB shard must not cost the shard."""
    target = tmp_path / "target"
    program = (
        "import sys; from huggingface_hub import hf_hub_download;"
        "hf_hub_download(*sys.argv[1:3], revision=sys.argv[3], endpoint=sys.argv[4],"
        " local_dir=sys.argv[5])"
    )
    # So slow that the client is killed in the middle, however late that is.
    slow = serve_hub(bytes_per_second=40_000)
    # The client writes in pieces of 10 MiB: smaller ones show that something was kept.
    small = "from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 16384;"
    arguments = [REPOSITORY, SHARD, slow.commit, slow.endpoint, str(target)]
    client = subprocess.Popen([sys.executable, "-c", small + program, *arguments])
    try:
        wait_for(
            lambda: any(path.stat().st_size > 65536 for path in target.rglob("*.incomplete")),
            "the first 64 KiB of the shard",
        )
    finally:
        client.kill()
        client.wait()
    fast = serve_hub()
    arguments[3] = fast.endpoint
    subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=120)
    assert (target / SHARD).read_bytes() == CONTENTS[SHARD]
    (fetch,) = (line for line in fast.lines() if line[0] == "GET")
    _, _, status, sent, asked, _ = fetch
    assert status == "206", "the client did not ask for the rest only; is it huggingface_hub<1.18?"
    kept = int(asked.removeprefix("bytes=").removesuffix("-"))
    assert kept > 65536
    assert int(sent) == len(CONTENTS[SHARD]) - kept


def test_the_access_log_has_one_line_for_each_request(hub: Hub) -> None:
    """Tests that count what was fetched, and by whom, read it."""
    hub.ask("GET", f"/{REPOSITORY}/resolve/main/config.json")
    hub.ask("GET", f"/{REPOSITORY}/resolve/main/{SHARD}", Range="bytes=10-19")
    hub.ask("HEAD", f"/{REPOSITORY}/resolve/main/{SHARD}")
    hub.ask("GET", "/nothing/here")
    wait_for(lambda: len(hub.lines()) == 4, "four lines in the access log")
    size = str(len(CONTENTS["config.json"]))
    shard = f"/{REPOSITORY}/resolve/main/{SHARD}"
    lines = sorted(hub.lines())
    assert lines[0][:3] == ["GET", "/nothing/here", "404"]
    assert lines[1:] == [
        ["GET", f"/{REPOSITORY}/resolve/main/config.json", "200", size, "-", "127.0.0.1"],
        ["GET", shard, "206", "10", "bytes=10-19", "127.0.0.1"],
        ["HEAD", shard, "200", "0", "-", "127.0.0.1"],
    ]


def test_the_command_serves_until_it_is_told_to_stop(root: Path, tmp_path: Path) -> None:
    """How the lab runs it: it says where it listens, and SIGTERM ends it cleanly."""
    log = tmp_path / "access.log"
    arguments = ["--root", str(root), "--port", "0", "--access-log", str(log)]
    with subprocess.Popen(
        [sys.executable, "-m", "lab.hub", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            endpoint = process.stdout.readline().removeprefix("serving on ").strip()
            info = HfApi(endpoint=endpoint).model_info(REPOSITORY)
            assert info.sha == head_commit(root, REPOSITORY)
            # The line follows the answer, so the client can be here before it.
            wait_for(lambda: log.read_text() != "", "a line in the access log")
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0
    assert log.read_text().startswith(f"GET /api/models/{REPOSITORY} 200 ")
