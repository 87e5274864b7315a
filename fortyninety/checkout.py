"""Locate the files of the repository that this package is read from."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# What is shipped of checkpoints: their sizes, and the lists of their files.
CHECKPOINTS = ROOT / "checkpoints"

# The lock of the tools that every host gets.
HOST_TOOLS_LOCK = ROOT / "host-tools" / "requirements.txt"
