"""Fill a folder of wheels for hosts that reach no package index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fortyninety.checkout import HOST_TOOLS_LOCK
from fortyninety.releases.release import load_release
from fortyninety.text.printable import printable

# Ubuntu 22.04's C library, the oldest of the hosts, is 2.35; what is built for older ones runs.
_GLIBC = 35
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(5, _GLIBC + 1)),
    *(f"manylinux{legacy}_x86_64" for legacy in ("1", "2010", "2014")),
    "linux_x86_64",  # PyTorch's own wheels
)


class DownloadError(Exception):
    """Why the folder is not complete, in pip's words."""


def download(name: str, folder: Path, *, host_python: str, find_links: Sequence[str] = ()) -> int:
    """Fetch every wheel of the engine release `name` and of the host's tools; how many there are.

    `host_python` is the version of the hosts' own python3, which the tools run on. Every file's
    hash is checked. Raises DownloadError.
    """
    release = load_release(name)
    for lock, python in ((release.lock_path, release.python), (HOST_TOOLS_LOCK, host_python)):
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--only-binary=:all:"),
            *("--python-version", python, "--implementation", "cp"),
            *(word for platform in PLATFORMS for word in ("--platform", platform)),
            *(word for each in find_links for word in ("--find-links", each)),
            *("--requirement", str(lock), "--dest", str(folder)),
        ]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DownloadError(f"{lock}: {_reason(done.stderr)}")
    return sum(1 for _ in folder.glob("*.whl"))


def _reason(said: str) -> str:
    """pip's last line, or its last that is an error."""
    lines = [line for line in said.splitlines() if line.strip()] or ["pip said nothing"]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return printable([*lines, *errors][-1].removeprefix("ERROR: "))
