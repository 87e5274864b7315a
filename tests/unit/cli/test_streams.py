"""Commands whose standard streams are closed, full, or of an encoding that has few characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT

COMMAND = f"{sys.executable} -P -m fortyninety"


def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        # Nobody can be asked.
        ("deploy pyproject.toml <&-", 2, "give --yes"),
        ("models nosuch 2>&-", 2, ""),
        ("models nosuch 2>/dev/full", 2, ""),
        ("models >&-", 0, ""),
        ("doctor pyproject.toml >&-", 2, "pyproject.toml"),
        ("models >/dev/full", 2, "on this machine: No space left on device"),
        ("models --json >/dev/full", 2, "on this machine: No space left on device"),
        ("models nosuch --json >/dev/full", 2, "unexpected extra argument"),
    ],
)
def test_a_stream_that_takes_nothing_changes_no_exit_code(
    arguments: str, code: int, said: str, tmp_path: Path
) -> None:
    ended = run(f"{COMMAND} {arguments}", TMPDIR=str(tmp_path))
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr and "Traceback" not in ended.stderr
    # A traceback is kept of defects alone.
    assert not list(tmp_path.glob("*.traceback"))


def test_where_nobody_reads_the_errors_an_answer_comes_all_the_same() -> None:
    ended = run(f"{COMMAND} models nosuch --json 2>/dev/full")
    assert (ended.returncode, json.loads(ended.stdout)["exit_code"]) == (2, 2)


def test_what_an_encoding_does_not_have_is_written_in_what_it_has() -> None:
    marks = f"{COMMAND} models --cards 2x4090"
    bars = f"{COMMAND} fit --cards 2x4090"
    plain = run(f"{marks} && {bars}", PYTHONIOENCODING="ascii")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.isascii() and "\\u" not in plain.stdout
    whole = run(f"{marks} && {bars}", PYTHONIOENCODING="utf-8")
    assert "\N{CHECK MARK}" in whole.stdout and "\N{FULL BLOCK}" in whole.stdout
    assert list(map(len, plain.stdout.splitlines())) == list(map(len, whole.stdout.splitlines()))
