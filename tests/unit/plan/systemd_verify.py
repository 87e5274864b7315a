"""Have systemd itself read units that are planned."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")


def wrong_lines(folder: Path, units: Mapping[str, str]) -> list[str]:
    """What systemd-analyze finds wrong with units, by their names, but for programs not here."""
    for name, text in units.items():
        (folder / name).write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *map(str, folder.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in ran.stderr.splitlines() if "is not executable" not in line]
