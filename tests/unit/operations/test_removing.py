"""What root removes on a host is named by the controller, whatever the host says there is."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from fortyninety.on_host.build_environment import MARK, clear_unfinished
from fortyninety.operations.removal import removal
from fortyninety.survey.records import COMMIT, ENVIRONMENT, LEFTOVER

A = "a" * 40


def test_names_of_the_form_are_removed_from_the_folder() -> None:
    command = removal("/srv/models/m", [A, f".partial-{A}"], COMMIT)
    assert command == f"rm -rf -- /srv/models/m/{A}"
    command = removal("/opt/f/engines", [f"0.32.0-{'a' * 12}"], ENVIRONMENT, "", ".lock")
    assert shlex.split(command or "")[3:] == [
        f"/opt/f/engines/0.32.0-{'a' * 12}",
        f"/opt/f/engines/0.32.0-{'a' * 12}.lock",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "/home",
        "..",
        ".",
        "",
        "a/../../etc",
        f"{A}\n",
        f"{A}/",
        "-rf",
        "$(id)",
        "*",
        f"x{A}",
        A[:-1],
    ],
)
def test_other_names_are_left_alone(name: str) -> None:
    for form in (COMMIT, ENVIRONMENT, LEFTOVER):
        assert removal("/srv/models/m", [name], form) is None


def test_a_build_removes_only_what_is_named_as_an_environment_and_has_no_mark(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    engines = tmp_path / "engines"
    cut, whole = (engines / f"0.32.0-{digit * 12}" for digit in "ab")
    other, link = engines / "backup", engines / f"0.32.0-{'c' * 12}"
    for folder in (outside, cut, whole, other):
        folder.mkdir(parents=True)
    (whole / MARK).touch()
    link.symlink_to(outside)
    clear_unfinished(cut)
    assert sorted(engines.iterdir()) == sorted((whole, other, link))
    assert outside.is_dir()
