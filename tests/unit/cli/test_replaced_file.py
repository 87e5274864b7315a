"""A file is replaced whole or not at all, and nothing else is written to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fortyninety.cli.replaced_file import replace_file


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Nothing for others, as some have it."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_new_file_has_the_users_own_mode_and_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "fleet.py"
    replace_file(path, "# \N{SNOWMAN}\n")
    assert path.read_bytes() == b"# \xe2\x98\x83\n" and path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_what_is_replaced_keeps_its_mode_and_the_link_to_it(tmp_path: Path) -> None:
    own, link = tmp_path / "own.py", tmp_path / "link.py"
    own.write_text("token\n")
    own.chmod(0o600)
    link.symlink_to(own)
    replace_file(link, "new\n")
    assert link.is_symlink() and own.read_text() == "new\n"
    assert own.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fleet.py"
    path.write_text("mine\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, "new\n")
    assert path.read_text() == "mine\n" and list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_way_of_what_is_written_beside_it_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    monkeypatch.setattr("secrets.token_hex", lambda _: "known")
    (tmp_path / ".fortyninety-known").symlink_to(victim)
    with pytest.raises(FileExistsError):
        replace_file(tmp_path / "fleet.py", "new\n")
    assert victim.read_text() == "precious\n"
