"""`fortyninety snapshot verify`: a host's answer is checked against the list of files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fortyninety.checkout import ROOT
from fortyninety.model.file_list import list_digest
from tests.unit.fleet.imagined_fleet import FILES, keep_list

FOUND = {"files": 1, "bytes": 2, "seconds": 0.5, "wrong": []}


def verify(directory: Path, manifest: str, *, listed: bool = True) -> tuple[int, dict[str, Any]]:
    """Run it over an imagined host that finds nothing wrong by a manifest with this SHA-256."""
    if listed:
        keep_list(directory)
    data = {"hub_endpoint": "http://127.0.0.1:9"}
    (directory / "boxes.py").write_text(f"boxes = {[('@fake/box1', data)]!r}\n")
    answers = [("memfd_create", [json.dumps(FOUND)], True), ("sha256sum <", [manifest], True)]
    (directory / "answers.json").write_text(json.dumps({"@fake/box1": answers}))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "tests.unit.imagined_hosts", str(directory / "answers.json")),
            *("snapshot", "verify", str(directory / "boxes.py"), "--json"),
        ],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(directory / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    page = json.loads(ran.stdout)
    assert page["problems"] == [], ran.stderr
    (host,) = page["result"]["hosts"]
    return ran.returncode, host


def test_a_snapshot_is_whole_by_the_lists_manifest_alone(tmp_path: Path) -> None:
    code, host = verify(tmp_path, f"{list_digest(FILES)}  -")
    assert (code, host["whole"], host["wrong"]) == (0, True, [])


def test_a_snapshot_whose_manifest_is_its_own_is_wrong(tmp_path: Path) -> None:
    code, host = verify(tmp_path, f"{'b' * 64}  -")
    assert (code, host["whole"]) == (1, False)
    (line,) = host["wrong"]
    assert "does not match the checkpoint's list of files" in line
    assert line.isprintable()


def test_without_a_list_nothing_is_called_whole(tmp_path: Path) -> None:
    code, host = verify(tmp_path, f"{list_digest(FILES)}  -", listed=False)
    assert (code, host["whole"]) == (1, False)
    (line,) = host["wrong"]
    assert "`fortyninety snapshot pin " in line
