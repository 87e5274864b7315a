"""Whose the folders are that root executes from and the engine serves from."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.plan.host_folders import folder_problems
from fortyninety.survey.reading import Place
from tests.unit.readings import bare_host, settings
from tests.unit.survey.test_survey import survey


def problems(*places: Place, options: frozenset[str] = frozenset()) -> list[str]:
    reading = bare_host(folders__places=list(places), folders__install_options=options)
    own = settings(install_directory="/data/fortyninety")
    return [str(each) for each in folder_problems("box1", own, reading)]


def place(path: str = "/data", kind: str = "directory", mode: str = "755", owner: int = 0) -> Place:
    return Place("install_directory", path, kind, mode, owner, next_is_there=path == "/data")


@pytest.mark.parametrize(
    ("found", "remedy"),
    [
        (place(mode="777"), "`chmod go-w /data`"),
        (place(mode="775"), "`chmod go-w /data`"),
        (place("/data/fortyninety", mode="1777"), "`chmod go-w /data/fortyninety`"),
        (place(owner=1000), "`chown root /data`"),
        (place("/data/fortyninety", owner=65534), "`chown root /data/fortyninety`"),
        (place(kind="symbolic link", mode="777"), "`realpath /data`"),
        (place(kind="regular file"), "Move it away"),
        (place(mode="750"), "`chmod o+x /data`"),
    ],
)
def test_a_folder_that_is_not_roots_alone_is_refused_with_what_mends_it(
    found: Place, remedy: str
) -> None:
    (problem,) = problems(found)
    below = "" if found.path == "/data/fortyninety" else "below "
    assert problem.startswith(f"box1: install_directory is {below}{found.path}, ")
    assert remedy in problem


@pytest.mark.parametrize(
    "found",
    [
        place(),
        # Nobody but its owner replaces what is in it, and it is there.
        place(mode="1777"),
        # As an earlier deploy left it under umask 027: the next one opens it.
        place("/data/fortyninety", mode="750"),
    ],
)
def test_a_folder_that_is_roots_is_fine(found: Place) -> None:
    assert problems(found) == []


def test_nobody_may_be_faster_in_a_folder_that_is_everybodys() -> None:
    """The sticky bit keeps what is there, and not the name of what is not."""
    (problem,) = problems(
        Place("install_directory", "/data", "directory", "1777", 0, next_is_there=False)
    )
    assert "`chmod go-w /data`" in problem


def test_a_file_system_that_nothing_runs_from_is_refused() -> None:
    (problem,) = problems(options=frozenset({"rw", "noexec"}))
    assert "mounted noexec" in problem
    assert "remount,exec" in problem


def test_the_survey_reads_the_whole_way(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o770)
    (tmp_path / "a" / "b").symlink_to("/nowhere")
    reading = survey(tmp_path, install_directory=str(folder / "c"))
    found = {
        each.path: each for each in reading.folders.places if each.setting == "install_directory"
    }
    assert list(found)[-2:] == [str(tmp_path / "a"), str(folder)]
    assert (found[str(tmp_path / "a")].mode, found[str(folder)].kind) == ("770", "symbolic link")
    assert found[str(tmp_path / "a")].next_is_there
    assert not found[str(folder)].next_is_there
    assert reading.folders.install_options >= {"rw"}
