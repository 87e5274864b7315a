"""How the programs on the hosts get there: one file each, the same on every machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.plan.programs import SNAPSHOT, archive, run_from_input


def test_an_archive_has_the_same_bytes_wherever_and_whenever_it_is_made(tmp_path: Path) -> None:
    made = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from fortyninety.plan.programs import *; "
            "sys.stdout.buffer.write(archive(SNAPSHOT))",
        ],
        env={**os.environ, "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7"},
        capture_output=True,
        check=True,
        umask=0o077,
    )
    assert made.stdout == archive(SNAPSHOT)


def test_an_archive_runs_by_its_path_alone(tmp_path: Path) -> None:
    (tmp_path / "snapshot").write_bytes(archive(SNAPSHOT))
    ran = subprocess.run(
        [sys.executable, "-I", tmp_path / "snapshot", "verify", tmp_path],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (1, f"no snapshot is published in {tmp_path}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


@pytest.mark.parametrize("folder", ["no such folder", "a'b\"; touch x #"])
def test_a_program_that_comes_on_standard_input_leaves_nothing(tmp_path: Path, folder: str) -> None:
    command, content = run_from_input(SNAPSHOT, "verify", str(tmp_path / folder))
    python, rest = command.split(" ", 1)
    assert python == "python3"
    ran = subprocess.run(
        ["sh", "-c", f"{shlex.quote(sys.executable)} {rest}"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        input=content,
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"no snapshot is published in {tmp_path / folder}\n"
    assert (ran.returncode, ran.stderr) == (1, said)
    assert list(tmp_path.iterdir()) == []
