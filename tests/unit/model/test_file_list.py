"""The list of a checkpoint's files: where it comes from, and what is never taken for one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fortyninety.model import file_list as lists
from fortyninety.model.file_list import FileListUnknown, file_list, files_of_page
from fortyninety.on_host.checkpoint_files import File, FileListError, manifest_text
from tests.unit.serving_hub import CONTENTS, REPOSITORY, Hub
from tests.unit.serving_tls import Strangers, reply

COMMIT = "1" * 40
OTHER = "2" * 40
SHA256 = "a" * 64
BLOB = "b" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fortyninety" / "checkpoints"


def kept_file(cache: Path) -> Path:
    (path,) = cache.glob("*.files.json")
    return path


def test_a_list_is_asked_for_once_and_has_the_sha256_of_every_file(
    https_hub: Hub, cache: Path
) -> None:
    found = file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    assert {file.path: (file.size, file.sha256) for file in found} == {
        path: (len(content), hashlib.sha256(content).hexdigest())
        for path, content in CONTENTS.items()
    }
    # One page, and two questions of git.
    assert len(https_hub.lines()) == 3
    assert file_list(REPOSITORY, https_hub.commit, https_hub.endpoint) == found
    assert file_list(REPOSITORY, https_hub.commit, "http://mirror.invalid") == found
    assert len(https_hub.lines()) == 3
    assert kept_file(cache).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in cache.iterdir() if path.name != ".lock"] == [
        kept_file(cache).name
    ]


def test_the_digest_is_that_of_the_published_manifest(https_hub: Hub) -> None:
    found = file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    text = manifest_text(found).encode()
    assert lists.list_digest(found) == hashlib.sha256(text).hexdigest()


def test_a_list_is_never_taken_from_http(hub: Hub, cache: Path) -> None:
    with pytest.raises(FileListUnknown, match="is not https") as refused:
        file_list(REPOSITORY, hub.commit, hub.endpoint)
    assert "fortyninety snapshot pin" in str(refused.value)
    assert hub.lines() == []
    assert not cache.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda _: "",
        lambda text: text.replace('"size": 5', '"size": 6'),
        lambda text: text.replace("config.json", "../config.json"),
        lambda text: text.replace('"digest": "', '"digest": "0'),
        lambda text: text.replace(REPOSITORY, "organisation/other"),
        lambda _: "[" * 10**5,
    ],
)
def test_a_kept_list_that_was_cut_or_changed_is_learnt_anew(
    https_hub: Hub, cache: Path, damage: Callable[[str], str]
) -> None:
    found = file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    right = kept_file(cache).read_text()
    assert damage(right) != right
    kept_file(cache).write_text(damage(right))
    asked = len(https_hub.lines())
    assert file_list(REPOSITORY, https_hub.commit, https_hub.endpoint) == found
    assert len(https_hub.lines()) > asked
    assert kept_file(cache).read_text() == right


def test_a_kept_list_that_others_may_write_is_no_list(https_hub: Hub, cache: Path) -> None:
    file_list(REPOSITORY, https_hub.commit, https_hub.endpoint)
    kept_file(cache).chmod(0o666)
    assert lists.known_file_list(REPOSITORY, https_hub.commit) is None


def test_a_second_answer_for_a_commit_that_is_another_is_refused(cache: Path) -> None:
    first = (File("a", 1, SHA256, None), File("b", 1, SHA256, None))
    second = (File("a", 1, SHA256, None), File("b", 1, "c" * 64, None))
    path = lists.keep_file_list(REPOSITORY, COMMIT, first, "the public hub")
    with pytest.raises(FileListUnknown, match=r"another list .* beginning with b"):
        lists.keep_file_list(REPOSITORY, COMMIT, second, "the public hub")
    assert lists.known_file_list(REPOSITORY, COMMIT) == first
    assert lists.keep_file_list(REPOSITORY, COMMIT, first, "the public hub") == path
    lists.keep_file_list(REPOSITORY, COMMIT, second, "a folder", replacing=True)
    assert lists.known_file_list(REPOSITORY, COMMIT) == second


def test_a_shipped_list_comes_first_and_is_contradicted_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "CHECKPOINTS", tmp_path)
    shipped = (File("a", 1, SHA256, None),)
    path = tmp_path / lists.file_name(REPOSITORY, COMMIT)
    path.write_text(lists.list_text(REPOSITORY, COMMIT, shipped, "the public hub"))
    assert file_list(REPOSITORY, COMMIT, "http://mirror.invalid") == shipped
    other = (File("a", 2, SHA256, None),)
    with pytest.raises(FileListUnknown, match="beginning with a"):
        lists.keep_file_list(REPOSITORY, COMMIT, other, "a folder", replacing=True)
    path.write_text(path.read_text().replace("a", "b"))
    with pytest.raises(FileListUnknown, match="cannot be used"):
        file_list(REPOSITORY, COMMIT, None)


def page(*siblings: Any, **changes: Any) -> dict[str, Any]:
    return {"sha": COMMIT, "siblings": list(siblings), **changes}


def sibling(name: Any = "config.json", size: Any = 1, **changes: Any) -> dict[str, Any]:
    return {"rfilename": name, "size": size, "blobId": BLOB, **changes}


HOSTILE_PAGES: list[Any] = [
    None,
    [],
    "text",
    7,
    {},
    page(),
    page(sibling(), sha=OTHER),
    page(sibling(), sha=None),
    page(sibling(), sha=["\x1b[2J"]),
    page(siblings=None),
    page(siblings={"rfilename": "a"}),
    page(None),
    page("config.json"),
    page([]),
    page({}),
    page(sibling(None)),
    page(sibling(7)),
    page(sibling("")),
    page(sibling("/etc/cron.d/x")),
    page(sibling("../x")),
    page(sibling("a/../../x")),
    page(sibling("a//b")),
    page(sibling("./a")),
    page(sibling("a/")),
    page(sibling("a\nb")),
    page(sibling("a\x00b")),
    page(sibling("a\x1b[31mb")),
    page(sibling("a\u202eb")),
    page(sibling("\udc80")),
    page(sibling(".fortyninety-manifest")),
    page(sibling(".git/config")),
    page(sibling("-rf")),
    page(sibling("a" * 300)),
    page(sibling("/".join("a" * 40))),
    page(sibling(), sibling()),
    page(sibling("a"), sibling("A")),
    page(sibling("a"), sibling("a/b")),
    page(sibling(size=None)),
    page(sibling(size="1")),
    page(sibling(size=True)),
    page(sibling(size=1.5)),
    page(sibling(size=-1)),
    page(sibling(size=10**300)),
    page(sibling(size=10**13)),
    page(sibling(blobId=None)),
    page(sibling(blobId="b" * 39)),
    page(sibling(blobId=["b" * 40])),
    page(sibling(lfs=[])),
    page(sibling(lfs="x")),
    page(sibling(lfs={"sha256": "A" * 64, "size": 1})),
    page(sibling(lfs={"sha256": 7, "size": 1})),
    page(sibling(lfs={"sha256": SHA256, "size": 2})),
    page(*({"rfilename": f"f{number}", "size": 1, "blobId": BLOB} for number in range(10_001))),
]


def test_every_hostile_page_is_refused_in_a_line_and_in_a_moment() -> None:
    assert len(HOSTILE_PAGES) >= 40
    began = time.process_time()
    for each in HOSTILE_PAGES:
        with pytest.raises(FileListError) as refused:
            files_of_page(each, COMMIT)
        assert str(refused.value).isprintable(), each
        assert len(str(refused.value)) < 600, each
    assert time.process_time() - began < 1


@pytest.mark.parametrize("each", [HOSTILE_PAGES[5], HOSTILE_PAGES[18], HOSTILE_PAGES[36]])
def test_a_hostile_page_leaves_nothing_behind(
    strangers: Strangers, trusted: Path, cache: Path, each: Any
) -> None:
    del trusted
    hub = strangers(lambda handler: reply(handler, json.dumps(each).encode()))
    with pytest.raises(FileListUnknown, match="cannot be used"):
        file_list(REPOSITORY, COMMIT, hub.endpoint)
    assert not cache.exists()


@pytest.mark.usefixtures("trusted")
def test_a_small_file_that_is_not_what_its_git_name_says_is_refused(strangers: Strangers) -> None:
    content = b"four"
    right = {"rfilename": "config.json", "size": 4, "blobId": lists.git_name(content)}
    answers = {"/api/models": json.dumps(page(right)).encode(), "/organisation": b"flip"}

    def answer(handler: Any) -> None:
        (body,) = (body for path, body in answers.items() if handler.path.startswith(path))
        reply(handler, body)

    hub = strangers(answer)
    with pytest.raises(FileListUnknown, match=r"'config\.json' is not what the list has"):
        file_list(REPOSITORY, COMMIT, hub.endpoint)
    answers["/organisation"] = content
    (file,) = file_list(REPOSITORY, COMMIT, hub.endpoint)
    assert file.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("trusted")
def test_a_large_file_without_sha256_is_not_fetched_to_be_hashed(strangers: Strangers) -> None:
    body = json.dumps(page(sibling("model.bin", size=10**9))).encode()
    hub = strangers(lambda handler: reply(handler, body))
    with pytest.raises(FileListUnknown, match=r"model\.bin' has 1000000000 bytes and no SHA-256"):
        file_list(REPOSITORY, COMMIT, hub.endpoint)
    assert not any("/resolve/" in path for path in hub.paths)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("status", "token", "expected"),
    [
        (401, None, "wants a token"),
        (401, "hf_secret", "wrong or expired"),
        (403, None, "licence is not accepted"),
        (404, None, "no such repository or commit"),
        (429, None, "try again later"),
        (503, None, "HTTP status 503"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(
    strangers: Strangers, status: int, token: str | None, expected: str
) -> None:
    hub = strangers(lambda handler: reply(handler, status=status))
    with pytest.raises(FileListUnknown, match=expected) as refused:
        file_list(REPOSITORY, COMMIT, hub.endpoint, token)
    assert f"fortyninety snapshot pin {REPOSITORY} {COMMIT} --folder" in str(refused.value)
    assert "hf_secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["a", "a/b/c", "../x", "a/b\n", ""])
def test_a_name_that_is_no_repository_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(FileListUnknown, match="no pinned checkpoint"):
        file_list(name, COMMIT, "https://127.0.0.1:9")
    with pytest.raises(FileListUnknown, match="no pinned checkpoint"):
        file_list(REPOSITORY, "main", "https://127.0.0.1:9")
