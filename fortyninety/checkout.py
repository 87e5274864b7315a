"""Locate the files that this package reads: those of a checkout, or those that a wheel carries.

A wheel has them in a folder of the package, under the same names (pyproject.toml says which).
"""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

PACKAGE = Path(str(files("fortyninety"))).resolve()

_CARRIED = PACKAGE / "shipped"
ROOT = _CARRIED if _CARRIED.is_dir() else PACKAGE.parent

# What is shipped of checkpoints: their sizes, and the lists of their files.
CHECKPOINTS = ROOT / "checkpoints"

# The lock of the tools that every host gets.
HOST_TOOLS_LOCK = ROOT / "host-tools" / "requirements.txt"

# What a Prometheus and a Grafana are given: rules and dashboards.
MONITORING = ROOT / "monitoring"

# The deploy of every stage.
DEPLOY_FILE = ROOT / "deploy.py"


def own_version() -> str:
    """The version that is installed, or that of a checkout which is not installed."""
    try:
        return version("fortyninety")
    except PackageNotFoundError:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        return str(project["version"])
