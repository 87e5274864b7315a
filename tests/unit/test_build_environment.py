"""The program that makes an engine's environment, with uv and wheels of this test's own."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from fortyninety.operations.environment import pip_install
from fortyninety.plan import PackageSource

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "fortyninety" / "host" / "build_environment.py"
UV = Path(sys.executable).parent / "uv"


@dataclass
class Index:
    """A folder of packages, and a lock of one of them."""

    folder: Path
    lock: Path
    ran: Path

    def add_wheel(self, name: str = "tiny") -> None:
        """A wheel of one module, and a lock that asks for it alone."""
        info = f"{name}-1.0.dist-info"
        files = {
            f"{name}/__init__.py": "",
            f"{name}/data.bin": "x" * 4096,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        }
        listing = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
        path = self.folder / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            for inside, text in {**files, f"{info}/RECORD": listing}.items():
                wheel.writestr(inside, text)
        self._lock(path, name)

    def add_source(self, name: str = "tiny") -> None:
        """A source distribution whose setup.py leaves a file behind, and a lock of it."""
        setup = f"import pathlib\npathlib.Path({str(self.ran)!r}).touch()\n"
        build = '[build-system]\nrequires = []\nbuild-backend = "setup"\nbackend-path = ["."]\n'
        files = {
            "setup.py": setup,
            "pyproject.toml": build,
            "PKG-INFO": f"Metadata-Version: 1.0\nName: {name}\nVersion: 1.0\n",
        }
        path = self.folder / f"{name}-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for inside, text in files.items():
                member = tarfile.TarInfo(f"{name}-1.0/{inside}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        self._lock(path, name)

    def _lock(self, path: Path, name: str) -> None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.lock.write_text(f"{name}==1.0 --hash=sha256:{digest}\n")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    for name in ("FIND_LINKS", "EXTRA_INDEX_URL", "INDEX_URL", "CONSTRAINT"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    folder = tmp_path / "packages"
    folder.mkdir()
    return Index(folder, tmp_path / "lock", tmp_path / "ran")


def build(index: Index, directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The program, as a deploy runs it."""
    command = [
        *(sys.executable, str(PROGRAM), "--uv", str(UV), "--python", sys.executable),
        *("--lock", str(index.lock), "--directory", str(directory), "--distribution", "tiny"),
        *("--version", "1.0", "--module", "tiny"),
        *("--no-index", "--wheels", str(index.folder), *more),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# --- Nothing of an index runs as root -------------------------------------------------------------


def test_a_source_distribution_is_refused_and_its_code_does_not_run(
    index: Index, tmp_path: Path
) -> None:
    index.add_source()
    ran = build(index, tmp_path / "engines" / "a")
    assert ran.returncode == 1
    assert not index.ran.exists(), "setup.py ran"
    assert "tiny==1.0 has no usable wheels" in ran.stderr, ran.stderr
    assert f"does not install from {index.folder}: " in ran.stderr


def test_nor_does_pip_build_one_for_the_hosts_tools(index: Index) -> None:
    index.add_source()
    source = PackageSource(index=None, no_index=True, wheels=str(index.folder))
    words = pip_install(source, str(index.lock))
    ran = subprocess.run(
        [sys.executable, "-m", "pip", *words, "--dry-run", "--ignore-installed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode != 0
    assert not index.ran.exists(), "setup.py ran"
    assert "No matching distribution found for tiny==1.0" in ran.stderr, ran.stderr
