"""Run `fortyninety` over an inventory of imagined hosts, each with its answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fortyninety.checkout import ROOT
from fortyninety.model.file_list import file_name, list_text
from fortyninety.on_host.checkpoint_files import File
from fortyninety.settings.defaults import default_setting
from tests.unit.readings import records

SURVEY = "read in one round trip"

Answers = list[tuple[str, list[str], bool]]

FILES = (File("config.json", 2, "a" * 64, None),)


def keep_list(directory: Path) -> None:
    """The list of the default checkpoint's files, as it is kept after a first run."""
    checkpoint = default_setting("model_repository"), default_setting("model_revision")
    path = directory / "cache/fortyninety/checkpoints" / file_name(*checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(list_text(*checkpoint, FILES, "a test"))
    path.chmod(0o600)


def run_over(
    directory: Path,
    command: str,
    hosts: dict[str, Answers],
    *arguments: str,
    data: dict[str, Any] | None = None,
    listed: bool = True,
    python: Path | None = None,
    cwd: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run a command over imagined hosts, with this checkout's library or that of `python`.

    Without `listed` the controller does not know the checkpoint's files.
    """
    if listed:
        keep_list(directory)
    names = [(f"@fake/{name}", data or {}) for name in hosts]
    (directory / "boxes.py").write_text(f"boxes = {names!r}\n")
    answers = {f"@fake/{name}": answers for name, answers in hosts.items()}
    (directory / "answers.json").write_text(json.dumps(answers))
    return subprocess.run(
        [
            *(python or sys.executable, "-P", str(ROOT / "tests/unit/imagined_hosts.py")),
            *(str(directory / "answers.json"), command, str(directory / "boxes.py"), *arguments),
        ],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": "" if python else str(ROOT),
            "TOKEN_OF_THIS_TEST": "hf_a_secret_token",
            "XDG_CACHE_HOME": str(directory / "cache"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def survey(*more: str, without: str = "\0") -> Answers:
    """The answer to the survey: a sound host's records and more, without those that begin so."""
    return [(SURVEY, records(*more, without=without), True)]
