"""What `fortyninety engine lock` and `download` say where uv and pip answer as a test says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fortyninety.cli import main
from fortyninety.releases.release import load_release

RELEASE = "0.8.5.post1"


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    ended = CliRunner().invoke(main, ["engine", *arguments, "--json"])
    page = json.loads(ended.stdout)
    assert page["exit_code"] == ended.exit_code and page["command"] == f"engine {arguments[0]}"
    return ended.exit_code, page["result"]


@pytest.mark.parametrize(
    ("more", "code", "same"), [("", 0, True), ("another==1\n", 1, False)], ids=["same", "another"]
)
def test_json_says_whether_a_lock_is_as_uv_makes_it(
    monkeypatch: pytest.MonkeyPatch, more: str, code: int, same: bool
) -> None:
    before = load_release(RELEASE).lock_path.read_text()
    monkeypatch.setattr("fortyninety.releases.lock.compile_lock", lambda *_: before + more)
    ended, result = run("lock", RELEASE, "--check")
    assert (ended, result["same"], result["wrote"]) == (code, same, False)
    assert result["pins"] == (before + more).count("==") > 100
    assert load_release(RELEASE).lock_path.read_text() == before


def test_json_says_how_many_wheels_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fortyninety.releases.wheels.download", lambda *_, **__: 7)
    assert run("download", RELEASE, str(tmp_path)) == (
        0,
        {"release": RELEASE, "folder": str(tmp_path), "wheels": 7},
    )
