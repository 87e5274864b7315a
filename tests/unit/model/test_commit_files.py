"""The list of a commit's files that git proves, with the real git and servers that lie to it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fortyninety.model import commit_files as git_part
from fortyninety.model import file_list as lists
from fortyninety.model.commit_files import GitSilent, commit_files
from fortyninety.model.file_list import FileListUnknown, file_list, hub_file_list
from fortyninety.on_host.checkpoint_files import File, FileListError
from lab.hub.git_service import git_folder
from lab.hub.pages import model_information
from lab.hub.repository import read_snapshot
from tests.unit.serving_hub import CONTENTS, REPOSITORY, SHARD, Hub
from tests.unit.serving_tls import Strangers, reply

TOKEN = "hf_secret"
BASIC = base64.b64encode(f"user:{TOKEN}".encode()).decode()
PATIENT = 60.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fortyninety" / "checkpoints"


def kept(cache: Path) -> dict[str, object]:
    (path,) = cache.glob("*.files.json")
    page: dict[str, object] = json.loads(path.read_text())
    return page


def git(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(
        ["git", *arguments], input=given, stdout=subprocess.PIPE, check=True
    ).stdout


def pack_of(repository: Path, *, without: str | None = None) -> bytes:
    """All objects of a repository, but for that of one path, as a server sends them."""
    objects = git("-C", str(repository), "rev-list", "--objects", "--all").decode().splitlines()
    names = [each.split(" ")[0] for each in objects if without not in each.split(" ")[1:]]
    return git(
        "-C", str(repository), "pack-objects", "--stdout", "-q", given="\n".join(names).encode()
    )


def own_git(hub: Hub) -> Path:
    """The hub's repository, as git keeps it."""
    return git_folder(hub.root, read_snapshot(hub.root, REPOSITORY))


def commit_with(repository: Path, entry: bytes) -> str:
    """Add a commit of one entry, in the form of `git fast-import`; return its name."""
    person = b"a <a@b.invalid> 1700000000 +0000"
    stream = b"commit refs/heads/odd\nauthor %s\ncommitter %s\ndata 1\nx\n" % (person, person)
    git("-C", str(repository), "fast-import", "--quiet", "--force", given=stream + entry + b"\n")
    return git("-C", str(repository), "rev-parse", "odd").decode().strip()


def inline(name: bytes, content: bytes, mode: bytes = b"100644") -> bytes:
    return b"M %s inline %s\ndata %d\n%s" % (mode, name, len(content), content)


def processes(text: str) -> Iterator[tuple[str, bool, bool]]:
    """The program of each process that has a text, and whether in its command or environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            environment = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command or text in environment:
            yield Path(command.split("\0")[0]).name, text in command, text in environment


@pytest.mark.parametrize("filters", [True, False])
def test_the_commit_proves_the_list_and_the_hub_is_asked_for_no_file(
    https_hub: Hub, cache: Path, filters: bool
) -> None:
    https_hub.faults.filters = filters
    warned: list[str] = []
    found = file_list(REPOSITORY, https_hub.commit, https_hub.endpoint, warn=warned.append)
    snapshot = read_snapshot(https_hub.root, REPOSITORY)
    assert {file.path for file in found} == set(CONTENTS)
    assert all(file.blob == snapshot.files[file.path].blob_id for file in found)
    assert kept(cache)["proof"] == "proved by the commit"
    assert warned == []
    assert [line[1].split("?")[0].rsplit("/", 1)[-1] for line in https_hub.lines()] == [
        *(https_hub.commit, "refs", "git-upload-pack")
    ]


def test_a_hub_that_lists_another_sha256_than_the_commit_has_is_refused(
    https_hub: Hub, cache: Path
) -> None:
    https_hub.faults.listed[SHARD] = "a" * 64
    with pytest.raises(FileListUnknown, match=rf"lists '{SHARD}' with .* SHA-256 a{{64}}; the"):
        file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("listed", "named"),
    [
        ([File("a", 1, "a" * 64, "b" * 40)], "'c' is in the commit"),
        (
            [File(path, 1, None, blob) for path, blob in (("a", "b" * 40), ("c", "d" * 40))],
            "'c' with 1 bytes and git name d{40}",
        ),
        ([File("a", 2, "a" * 64, None)], "'a' with 2 bytes"),
        ([File("0", 1, "a" * 64, None), File("a", 2, "a" * 64, None)], "'0' is not in the commit"),
    ],
)
def test_the_first_file_that_differs_is_named(listed: list[File], named: str) -> None:
    proved = (File("a", 1, "a" * 64, "b" * 40), File("c", 1, "c" * 64, "c" * 40))
    with pytest.raises(FileListError, match=named):
        lists._refuse_unlike(tuple(listed), proved)


@pytest.mark.parametrize("kind", ["another commit", "a broken object"])
def test_a_hub_whose_git_sends_something_else_is_refused(
    https_hub: Hub, tmp_path: Path, cache: Path, kind: str
) -> None:
    if kind == "another commit":
        repository = tmp_path / "other.git"
        git("init", "--quiet", "--bare", str(repository))
        commit_with(repository, inline(b"config.json", b"{}"))
        pack = pack_of(repository)
    else:
        right = pack_of(own_git(https_hub))
        pack = right[:-21] + bytes([right[-21] ^ 1]) + right[-20:]
    https_hub.faults.git_pack = tmp_path / "pack"
    https_hub.faults.git_pack.write_bytes(pack)
    with pytest.raises(FileListUnknown, match="what its git sends is not the commit"):
        file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    assert not cache.exists()


@pytest.mark.parametrize("kind", ["no git", "cut", "left out", "too long"])
def test_where_git_cannot_say_the_list_is_the_hubs_word_and_is_called_so_once(
    https_hub: Hub, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pack = tmp_path / "pack"
    if kind == "no git":
        https_hub.faults.git = False
    elif kind == "cut":
        pack.write_bytes(pack_of(own_git(https_hub))[:100])
    elif kind == "left out":
        pack.write_bytes(pack_of(own_git(https_hub), without="config.json"))
    else:
        (https_hub.root / REPOSITORY / "config.json").write_bytes(os.urandom(2**16))
        monkeypatch.setattr(git_part, "MOST_DISK", 2**15)
    https_hub.faults.git_pack = pack if pack.exists() else None
    warned: list[str] = []
    for _ in range(2):
        found = file_list(REPOSITORY, https_hub.commit, https_hub.endpoint, warn=warned.append)
        assert {file.path for file in found} == set(CONTENTS)
    (line,) = warned
    assert "is the hub's word: " in line
    assert line.isprintable()
    assert line.endswith(str(kept(cache)["proof"]))
    expected = {"no git": "speaks no git", "cut": "early EOF", "left out": "out 'config.json'"}
    assert expected.get(kind, "git says: ") in line


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "git is not installed"),
        ("echo git version 2.30.2", "git 2.30 is older than 2.31"),
        ("echo '\x1b[2Jfatal: no developer tools' >&2; exit 1", "git says: "),
    ],
)
def test_a_machine_without_a_git_that_can_be_used_says_so(
    https_hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    reason: str,
) -> None:
    (tmp_path / "bin").mkdir()
    if script is not None:
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = hub_file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    assert found.proof.startswith(f"the hub's word: {reason}")
    assert found.proof.isprintable()
    assert not any("info/refs" in line[1] for line in https_hub.lines())


def test_a_list_that_was_the_hubs_word_is_proved_later_and_stays_so(
    https_hub: Hub, cache: Path
) -> None:
    arguments = (REPOSITORY, https_hub.commit, https_hub.endpoint)
    https_hub.faults.git = False
    file_list(*arguments)
    https_hub.faults.git = True
    asked = len(https_hub.lines())
    file_list(*arguments)
    assert len(https_hub.lines()) == asked
    for git_there in (True, False):
        https_hub.faults.git = git_there
        found = hub_file_list(*arguments)
        lists.keep_file_list(*arguments[:2], found.files, "a hub", proof=found.proof)
        assert kept(cache)["proof"] == "proved by the commit"


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        (inline(b"config.json", b"/etc/passwd", b"120000"), "'config.json' is a link"),
        (b"M 160000 %s vendor" % (b"1" * 40), "'vendor' is a submodule"),
        (inline(b".GIT/config", b"x"), "not the commit .*hasDotgit"),
        (inline(b'"a\\377"', b"x"), "not valid UTF-8"),
        (inline(b"a.bin", b"version https://git-lfs.github.com/spec/v1\noid x\n"), "'a.bin' of"),
        (inline(b"a\x1b[2J", b"x"), "U\\+001B"),
    ],
)
def test_a_commit_with_what_no_checkpoint_has_is_refused(
    https_hub: Hub, entry: bytes, refused: str
) -> None:
    commit = commit_with(own_git(https_hub), entry)
    with pytest.raises(FileListError, match=refused) as error:
        commit_files(f"{https_hub.endpoint}/{REPOSITORY}", commit)
    assert str(error.value).isprintable()


def test_a_large_file_that_is_no_pointer_is_not_brought(
    https_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_part, "LARGEST_SMALL", 2**10)
    repository = own_git(https_hub)
    address = f"{https_hub.endpoint}/{REPOSITORY}"
    (file,) = commit_files(address, commit_with(repository, inline(b"a", bytes(2**10))))
    assert file.size == 2**10
    with pytest.raises(GitSilent, match="leaves out 'a'"):
        commit_files(address, commit_with(repository, inline(b"a", bytes(2**10 + 1))))


def test_a_commit_that_the_hub_does_not_have_is_not_taken_from_elsewhere(https_hub: Hub) -> None:
    with pytest.raises(GitSilent, match="does not have that commit"):
        commit_files(f"{https_hub.endpoint}/{REPOSITORY}", "1" * 40)


def api_page(hub_root: Path) -> bytes:
    snapshot = read_snapshot(hub_root, REPOSITORY)
    return json.dumps(model_information(snapshot, True, {})).encode()


@pytest.mark.usefixtures("trusted")
def test_a_slow_hub_is_waited_for_no_longer_than_said(
    strangers: Strangers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_part, "PATIENCE", 2.0)
    monkeypatch.setattr(git_part, "SILENCE", 600)
    over = threading.Event()

    def answer(_: BaseHTTPRequestHandler) -> None:
        over.wait(10 * PATIENT)

    hub = strangers(answer)
    try:
        with pytest.raises(GitSilent, match="takes more than 2 s"):
            commit_files(f"{hub.endpoint}/{REPOSITORY}", "1" * 40)
        deadline = time.monotonic() + PATIENT
        while any(processes(f"{hub.endpoint}/{REPOSITORY}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(processes(f"{hub.endpoint}/{REPOSITORY}"))
    finally:
        over.set()


def test_the_token_is_in_no_command_and_in_no_environment_but_gits(
    strangers: Strangers, trusted: Path, root: Path
) -> None:
    del trusted
    snapshot = read_snapshot(root, REPOSITORY)
    seen: list[tuple[str, bool, bool]] = []
    given: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if "info/refs" in handler.path:
            given.append(handler.headers.get("Authorization"))
            seen.extend([*processes(TOKEN), *processes(BASIC)])
            reply(handler, status=401, WWW_Authenticate='Basic realm="x"')
        elif handler.path.startswith("/api/"):
            reply(handler, api_page(root))
        else:
            path = handler.path.split("/resolve/")[1].split("/", 1)[1]
            reply(handler, CONTENTS[path])

    hub = strangers(answer)
    found = hub_file_list(REPOSITORY, snapshot.commit, hub.endpoint, TOKEN)
    assert "hub_token" in found.proof
    assert given
    assert set(given) == {f"Basic {BASIC}"}
    assert seen
    for program, in_command, _ in seen:
        assert program.startswith("git")
        assert not in_command


def test_a_gated_hub_is_asked_with_the_token(https_hub: Hub) -> None:
    https_hub.faults.token = TOKEN
    found = hub_file_list(REPOSITORY, https_hub.commit, https_hub.endpoint, TOKEN)
    assert found.proof == "proved by the commit"


@pytest.mark.usefixtures("trusted")
def test_git_follows_no_redirect(strangers: Strangers) -> None:
    other = strangers(lambda handler: reply(handler, status=404))
    hub = strangers(
        lambda handler: reply(handler, status=302, Location=f"{other.endpoint}{handler.path}")
    )
    with pytest.raises(GitSilent, match="git says: "):
        commit_files(f"{hub.endpoint}/{REPOSITORY}", "1" * 40, TOKEN)
    assert hub.paths
    assert other.paths == []


def test_what_the_user_configured_for_git_is_not_used(
    https_hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = tmp_path / "trace"
    (tmp_path / ".gitconfig").write_text(
        f'[url "https://elsewhere.invalid/"]\n\tinsteadOf = {https_hub.endpoint}\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_TRACE", str(traced))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    address = f"{https_hub.endpoint}/{REPOSITORY}"
    assert len(commit_files(address, https_hub.commit)) == len(CONTENTS)
    assert not traced.exists()
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(GitSilent, match="certificate"):
        commit_files(address, https_hub.commit)
