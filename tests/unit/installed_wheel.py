"""The project's wheel, built from what git has, and an environment with nothing else of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from fortyninety.checkout import ROOT

BUILD = "import sys, setuptools.build_meta as backend; print(backend.build_wheel(sys.argv[1]))"


@dataclass(frozen=True)
class InstalledWheel:
    """The wheel, and the Python that has it."""

    wheel: Path
    environment: Path

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.environment / "bin/python"

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the installed `fortyninety`."""
        return subprocess.run(
            [self.environment / "bin/fortyninety", *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": ""},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def files_of_git() -> list[str]:
    """The files that git has, or would have with the next commit, but for those deleted since."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.split("\0") if name and os.path.lexists(ROOT / name))


def build_wheel(directory: Path) -> Path:
    """Build the wheel of what git has; its file in `directory`."""
    source = directory / "source"
    for name in files_of_git():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    _ran([sys.executable, "-c", BUILD, str(directory)], cwd=source)
    (wheel,) = directory.glob("*.whl")
    return wheel


def install_wheel(directory: Path) -> InstalledWheel:
    """Build the wheel and install it into an environment of its own, without the network."""
    wheel, environment = build_wheel(directory), directory / "environment"
    venv.create(environment)
    installed = InstalledWheel(wheel, environment)
    _ran(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"),
            *("--python", str(installed.python), str(wheel)),
        ],
        cwd=directory,
    )
    # What it depends on, without the checkout that is installed beside it: a .pth file is not read
    # of a folder that another one names.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return installed


def _ran(command: list[str], cwd: Path) -> None:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
