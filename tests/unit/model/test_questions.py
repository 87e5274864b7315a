"""What this machine asks before a run: what a branch is now, how large a snapshot is, the token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortyninety.model import questions
from fortyninety.model.file_list import FileListUnknown
from fortyninety.on_host.checkpoint_files import File
from fortyninety.problem import Problem
from tests.unit.readings import bare_host, default_data, settings
from tests.unit.serving_hub import REPOSITORY, Hub
from tests.unit.serving_tls import Strangers, reply


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    questions.ask_for_commit.cache_clear()
    yield
    questions.ask_for_commit.cache_clear()


def test_a_branch_is_refused_with_the_commit_that_it_points_to_now(https_hub: Hub) -> None:
    hub = https_hub
    problem = Problem(
        host="box1", subject="model_revision", found="'main'", expected="a full commit hash"
    )
    data = {
        "model_revision": "main",
        "model_repository": REPOSITORY,
        "hub_endpoint": hub.endpoint,
    }
    assert str(questions.with_commit(problem, data)).endswith(f"main now points to {hub.commit}")


def test_a_hub_out_of_reach_changes_nothing_about_the_refusal() -> None:
    problem = Problem(
        host="box1", subject="model_revision", found="'main'", expected="a full commit hash"
    )
    data = {
        "model_revision": "main",
        "model_repository": REPOSITORY,
        "hub_endpoint": "https://127.0.0.1:9",
    }
    assert questions.with_commit(problem, data) == problem


def test_what_anybody_could_say_over_http_is_not_proposed_as_a_commit(hub: Hub) -> None:
    problem = Problem(
        host="box1", subject="model_revision", found="'main'", expected="a full commit hash"
    )
    data = {
        "model_revision": "main",
        "model_repository": REPOSITORY,
        "hub_endpoint": hub.endpoint,
    }
    assert questions.with_commit(problem, data) == problem
    assert hub.lines() == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("sha", [None, 7, "main", "\x1b[2J" + "a" * 36, "A" * 40, ["a" * 40]])
def test_a_commit_that_is_none_is_not_shown(strangers: Strangers, sha: object) -> None:
    hub = strangers(lambda handler: reply(handler, json.dumps({"sha": sha}).encode()))
    problem = Problem(
        host="box1", subject="model_revision", found="'main'", expected="a full commit hash"
    )
    data = {"model_revision": "main", "model_repository": "a/b", "hub_endpoint": hub.endpoint}
    assert questions.with_commit(problem, data) == problem
    assert len(hub.paths) == 1


FILES = (File("a", 7 * 10**6, "a" * 64, None),)


def test_a_disk_without_room_is_refused_with_the_arithmetic() -> None:
    (problem,) = questions.room_problems("box1", bare_host(disk__free_bytes=10**9), FILES)
    assert str(problem).startswith(
        "box1: models_directory is on a disk with 1.0 GB free; expected 2.0 GB (snapshot 0.0 GB"
    )
    assert not list(questions.room_problems("box1", bare_host(disk__free_bytes=10**10), FILES))
    assert not list(questions.room_problems("box1", bare_host(snapshot__condition="whole"), FILES))


def test_a_checkpoint_whose_files_are_not_known_is_refused_with_what_to_do() -> None:
    unknown = FileListUnknown("the hub is away. `fortyninety snapshot pin a/b ...`")
    (problem,) = questions.list_problems("box1", unknown)
    assert "`fortyninety snapshot pin a/b ...`" in str(problem)
    assert not list(questions.room_problems("box1", bare_host(disk__free_bytes=0), unknown))
    assert not list(questions.list_problems("box1", FILES))


def test_a_token_is_read_from_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hf_secret\n")
    file.chmod(0o600)
    assert questions.token_of(settings(hub_token=f"file:{file}")) == "hf_secret"
    file.chmod(0o640)
    (problem,) = questions.token_problems("box1", settings(hub_token=f"file:{file}"))
    assert "which others may read (mode 640)" in str(problem)
    assert "hf_secret" not in str(problem)


def test_a_token_that_is_nowhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    for place in (f"file:{tmp_path}/none", "environment:NO_SUCH_TOKEN"):
        (problem,) = questions.token_problems("box1", settings(hub_token=place))
        assert problem.subject == "hub_token"
    monkeypatch.setenv("NO_SUCH_TOKEN", "hf_secret")
    assert questions.token_of(settings(hub_token="environment:NO_SUCH_TOKEN")) == "hf_secret"
    assert questions.token_of(settings()) is None


@pytest.mark.parametrize("endpoint", [None, "https://hub.example/path"])
def test_a_token_may_go_to_a_hub_over_https(
    endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "hf_secret")
    wanted = settings(hub_endpoint=endpoint, hub_token="environment:A_TOKEN")
    assert not list(questions.token_problems("box1", wanted))


def test_a_token_for_a_hub_over_http_is_refused_before_anything_is_asked(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "hf_secret")
    wanted = settings(hub_endpoint=hub.endpoint, hub_token="environment:A_TOKEN")
    (problem,) = questions.token_problems("box1", wanted)
    assert str(problem).startswith(
        f"box1: hub_token is set, and hub_endpoint is '{hub.endpoint}'; expected an https:// "
    )
    assert "hf_secret" not in str(problem)
    assert not list(questions.token_problems("box1", settings(hub_endpoint=hub.endpoint)))
    assert hub.lines() == []


def test_a_branch_of_a_named_model_is_asked_of_its_own_repository(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        questions, "ask_for_commit", lambda _, repository, __: asked.append(repository)
    )
    problem = Problem(host="box1", subject="model_revision", found="'main'", expected="a hash")
    data = {**default_data(), "model": "qwen3-8b-awq", "model_revision": "main"}
    assert questions.with_commit(problem, data) == problem
    assert asked == ["Qwen/Qwen3-8B-AWQ"]
