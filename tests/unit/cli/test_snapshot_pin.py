"""`fortyninety snapshot pin`: the list of files that an operator gives."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from fortyninety.model.file_list import file_list, known_file_list, list_digest
from fortyninety.model.folder_list import folder_files
from fortyninety.on_host.checkpoint_files import FileListError, manifest_text
from fortyninety.settings.defaults import default_settings
from lab.hub.pinned import pinned_commit
from tests.unit.serving_hub import CONTENTS, REPOSITORY, Hub

COMMIT = "1" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copy(root: Path) -> Path:
    """A copy of a checkpoint that the operator trusts."""
    return root / REPOSITORY


def pin(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["snapshot", "pin", REPOSITORY, COMMIT, *arguments])


def test_a_folder_that_is_trusted_is_the_list_from_then_on(copy: Path) -> None:
    result = pin("--folder", str(copy), "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)["result"]
    files = file_list(REPOSITORY, COMMIT, "http://no-hub.invalid")
    assert {file.path: file.sha256 for file in files} == {
        path: hashlib.sha256(content).hexdigest() for path, content in CONTENTS.items()
    }
    assert said["files"] == len(CONTENTS)
    assert said["bytes"] == sum(len(content) for content in CONTENTS.values())
    assert said["digest"] == list_digest(files)
    assert said["proof"] == "a trusted copy"
    assert Path(said["kept"]).is_file()
    assert pin("--folder", str(copy)).exit_code == 0


def test_a_manifest_that_is_trusted_says_the_same(copy: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_text(manifest_text(folder_files(copy)))
    result = pin("--manifest", str(manifest))
    assert result.exit_code == 0, result.output
    assert f"{len(CONTENTS)} files" in result.output
    assert pin("--folder", str(copy)).exit_code == 0
    assert known_file_list(REPOSITORY, COMMIT) is not None


def test_another_list_is_refused_unless_it_is_to_replace_the_first(copy: Path) -> None:
    assert pin("--folder", str(copy)).exit_code == 0
    first = known_file_list(REPOSITORY, COMMIT)
    (copy / "config.json").write_text("{}")
    refused = pin("--folder", str(copy))
    assert refused.exit_code == 1
    assert "another list of files" in refused.output
    assert "config.json" in refused.output
    assert known_file_list(REPOSITORY, COMMIT) == first
    assert pin("--folder", str(copy), "--replace").exit_code == 0
    assert known_file_list(REPOSITORY, COMMIT) != first


def test_what_tools_keep_in_a_copy_is_not_of_the_checkpoint(copy: Path) -> None:
    before = folder_files(copy)
    for name in (".cache/huggingface/x", ".git/HEAD", ".fortyninety-manifest"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("x")
    assert sorted(folder_files(copy), key=str) == sorted(before, key=str)


def test_links_of_the_hubs_client_are_the_files_that_they_lead_to(
    copy: Path, tmp_path: Path
) -> None:
    before = {file.path: file.sha256 for file in folder_files(copy)}
    blob = tmp_path / "blob"
    (copy / "config.json").rename(blob)
    (copy / "config.json").symlink_to(blob)
    assert {file.path: file.sha256 for file in folder_files(copy)} == before


@pytest.mark.parametrize("kind", ["pointer", "pipe", "folder", "loop", "gone", "name", "empty"])
def test_a_copy_that_cannot_be_the_whole_is_refused_in_one_line(copy: Path, kind: str) -> None:
    path = copy / "other"
    if kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:...\n")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.symlink_to("/etc")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "gone":
        path.symlink_to(copy / "nothing")
    elif kind == "name":
        (copy / "a\x1b[2J").write_text("x")
    else:
        for each in copy.rglob("*"):
            if each.is_file():
                each.unlink()
    with pytest.raises((FileListError, OSError)):
        folder_files(copy)
    result = pin("--folder", str(copy))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert line.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        f"{'a' * 64}  1  ../x\n",
        f"{'a' * 64}  1  /etc/cron.d/x\n",
        f"{'a' * 64}  1  a",
        f"{'a' * 64}  -1  a\n",
        f"{'a' * 64}  1  a\n" * 2,
        f"{'a' * 63}  1  a\n",
        f"{'a' * 64}  1  .fortyninety-manifest\n",
        "\udcff",
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_bytes(text.encode(errors="surrogateescape"))
    result = pin("--manifest", str(manifest))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert known_file_list(REPOSITORY, COMMIT) is None


def test_a_folder_and_a_manifest_at_once_are_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest").write_text("")
    both = pin("--folder", str(copy), "--manifest", str(tmp_path / "manifest"))
    assert both.exit_code == 2
    assert "not both" in both.output


@pytest.mark.parametrize("git", [True, False])
def test_what_the_hub_lists_is_said_to_be_proved_or_the_hubs_word(
    https_hub: Hub, monkeypatch: pytest.MonkeyPatch, git: bool
) -> None:
    https_hub.faults.git = git
    monkeypatch.setitem(default_settings(), "hub_endpoint", https_hub.endpoint)
    commands = ["snapshot", "pin", REPOSITORY, https_hub.commit]
    proved = CliRunner().invoke(main, [*commands, "--proved", "--json"])
    if git:
        assert proved.exit_code == 0, proved.output
        assert json.loads(proved.stdout)["result"]["proof"] == "proved by the commit"
        return
    assert proved.exit_code == 1
    assert known_file_list(REPOSITORY, https_hub.commit) is None
    result = CliRunner().invoke(main, commands)
    assert result.exit_code == 0, result.output
    for output in (proved.output, result.output):
        assert "the hub's word: it speaks no git" in output


def test_only_the_hubs_list_can_be_proved(copy: Path) -> None:
    both = pin("--folder", str(copy), "--proved")
    assert both.exit_code == 2
    assert "--proved" in both.output


def test_the_lab_keeps_what_its_hub_has_by_the_same_way(root: Path) -> None:
    commit = pinned_commit(root, REPOSITORY)
    assert known_file_list(REPOSITORY, commit) == tuple(
        sorted(folder_files(root / REPOSITORY), key=lambda file: file.path)
    )
    assert pinned_commit(root, REPOSITORY) == commit
