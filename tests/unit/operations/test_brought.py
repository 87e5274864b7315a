"""A deploy notes on the host what it brings, before it brings it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fortyninety.operations import brought
from fortyninety.operations.brought import noting, noting_names, noting_new_caches


def sh(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True)


def test_names_are_noted_a_line_each_and_none_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "state" / "brought"
    monkeypatch.setattr(brought, "BROUGHT", str(note))
    sh(f"new=; {noting('package', '$new')}")
    assert not note.exists()
    sh(f"new='gcc\ncpp'; {noting('package', '$new')}")
    sh(noting_names("account", "vllm"))
    assert note.read_text() == "package gcc\npackage cpp\naccount vllm\n"


def test_a_cache_that_is_there_already_is_not_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "state" / "brought"
    monkeypatch.setattr(brought, "BROUGHT", str(note))
    monkeypatch.setattr(brought, "ROOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "pip").mkdir(parents=True)
    sh(noting_new_caches())
    assert note.read_text() == "cache uv\n"


def test_what_cannot_be_noted_is_not_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").touch()
    monkeypatch.setattr(brought, "BROUGHT", str(tmp_path / "state" / "brought"))
    ran = subprocess.run(
        ["sh", "-c", f"{noting_names('hold', 'gcc')} && echo brought"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode != 0, ran.stdout) == (True, "")
