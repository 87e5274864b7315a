"""What a reset runs on a host: its commands, run for real on made-up folders."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fortyninety.operations.files import no_leftovers
from fortyninety.operations.reset import forgetting

A, B = (digit * 40 for digit in "ab")


def sh(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True)


def test_a_model_goes_and_what_else_is_in_its_folder_stays(tmp_path: Path) -> None:
    model = tmp_path / "m"
    for name in (A, f".incoming-{A}", "backup"):
        (model / name).mkdir(parents=True)
    (model / "current").symlink_to(model / A)
    for command in forgetting(str(model), ["current", A, "..", "backup"]):
        sh(command)
    assert [each.name for each in model.iterdir()] == ["backup"]


def test_a_removal_that_is_cut_leaves_what_is_known_as_on_its_way(tmp_path: Path) -> None:
    model = tmp_path / "m"
    (model / A).mkdir(parents=True)
    for command in list(forgetting(str(model), [A]))[:2]:
        sh(command)
    assert [each.name for each in model.iterdir()] == [f".incoming-{A}"]
    for command in forgetting(str(model), [f".incoming-{A}"]):
        sh(command)
    assert not model.exists()


def test_what_a_cut_upload_left_goes_and_its_neighbours_stay(tmp_path: Path) -> None:
    names = ("x.conf", ".x.conf.fortyninety-0123456789", ".y.conf.fortyninety-0123456789")
    for name in names:
        (tmp_path / name).touch()
    sh(no_leftovers(f"{tmp_path}/x.conf"))
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted((names[0], names[2]))
