"""The program that makes an engine's environment, with uv and wheels of this test's own."""

from __future__ import annotations

import hashlib
import io
import stat
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from fortyninety.checkout import ROOT
from fortyninety.operations.environments import pip_install
from fortyninety.plan.python import PackageSource

HOST = ROOT / "fortyninety" / "on_host"
PROGRAM = HOST / "build_environment.py"
SEAL = HOST / "seal_environment.py"
UV = Path(sys.executable).parent / "uv"


@dataclass
class Index:
    """A folder of packages, and a lock of one of them."""

    folder: Path
    lock: Path
    ran: Path

    def add_wheel(self, name: str = "tiny", *, needs: str = "") -> None:
        """A wheel of one module that `needs` another, and a lock that asks for it alone."""
        info = f"{name}-1.0.dist-info"
        files = {
            f"{name}/__init__.py": "",
            f"{name}/data.bin": "x" * 4096,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
            + (f"Requires-Dist: {needs}\n" if needs else ""),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        }
        listing = "".join(f"{path},,{len(text)}\n" for path, text in files.items())
        listing += f"{info}/RECORD,,\n"
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
    # The program empties this folder, as a deploy has it do on a host.
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    folder = tmp_path / "packages"
    folder.mkdir()
    return Index(folder, tmp_path / "lock", tmp_path / "ran")


def build(
    index: Index, directory: Path, *more: str, umask: int = 0o022
) -> subprocess.CompletedProcess[str]:
    """The program, as a deploy runs it."""
    command = [
        *(sys.executable, str(PROGRAM), "--uv", str(UV), "--python", sys.executable),
        *("--lock", str(index.lock), "--directory", str(directory), "--distribution", "tiny"),
        *("--version", "1.0", "--module", "tiny", "--seal", str(SEAL)),
        *("--no-index", "--wheels", str(index.folder), *more),
    ]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, umask=umask
    )


# --- Nothing of an index runs as root -------------------------------------------------------------


def test_a_source_distribution_is_refused_and_its_code_does_not_run(
    index: Index, tmp_path: Path
) -> None:
    index.add_source()
    ran = build(index, tmp_path / "engines" / "1.0-0123456789ab")
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


# --- Readable for the service, whatever the umask, and as its mark says ---------------------------


def closed(directory: Path) -> list[str]:
    """What below and above a folder another account cannot read, or could write to."""
    return [
        f"{path} {state.st_mode:o}"
        for path in (directory, *directory.rglob("*"))
        if not stat.S_ISLNK((state := path.lstat()).st_mode)
        if stat.S_IMODE(state.st_mode) not in ((0o755,) if path.is_dir() else (0o644, 0o755))
    ]


def test_a_lock_that_lacks_a_package_is_refused_by_its_name(index: Index, tmp_path: Path) -> None:
    index.add_wheel(needs="absent>=2")
    directory = tmp_path / "engines" / "1.0-0123456789ab"
    ran = build(index, directory)
    assert ran.returncode == 1
    assert "what serves is untouched: the packages do not go together" in ran.stderr, ran.stderr
    assert "requires `absent>=2`" in ran.stderr
    assert not (directory / ".fortyninety-complete").exists()


@pytest.fixture
def made(index: Index, tmp_path: Path) -> Path:
    """An environment that was made under a hardened umask, with a cache made under it too."""
    index.add_wheel()
    directory = tmp_path / "engines" / "1.0-0123456789ab"
    ran = build(index, directory, umask=0o077)
    assert ran.returncode == 0, ran.stderr
    return directory


def survey_of(directory: Path, whole: str = "") -> str:
    """What the survey's own lines say of an environment; `whole` names those compared before."""
    script = (ROOT / "fortyninety" / "survey" / "survey.sh").read_text()
    begin, end = script.index("\nsealed_as() {"), script.index("\n}\n", script.index("sealed_as"))
    function = script[begin : end + 3]
    return subprocess.run(
        [
            *("sh", "-c", f'LC_ALL=C; export LC_ALL; whole=$1\n{function}\nsealed_as engine "$2"'),
            *("sh", whole, str(directory)),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def module(directory: Path) -> Path:
    """The file with the package's data."""
    (found,) = directory.glob("lib/python3*/site-packages/tiny/data.bin")
    return found


def test_an_environment_is_everybodys_to_read_whatever_the_umask(
    made: Path, tmp_path: Path
) -> None:
    assert closed(made) == []
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o755
    assert survey_of(made) == "whole"


def test_what_another_umask_or_a_power_cut_left_is_found_and_put_right(
    index: Index, made: Path, tmp_path: Path
) -> None:
    """One environment through every kind of damage: modes alone are set, contents made anew."""
    data = module(made)
    born = data.stat().st_ino
    data.chmod(0o600)
    data.parent.chmod(0o750)
    assert survey_of(made) == "other"
    assert build(index, made).returncode == 0
    assert (closed(made), survey_of(made)) == ([], "whole")
    assert module(made).stat().st_ino == born, "modes are set, nothing is made anew"

    # Python's own bytecode does not count.
    (data.parent / "__pycache__" / "later.cpython-311.pyc").write_bytes(b"x")
    assert survey_of(made) == "whole"

    data.write_bytes(b"")
    assert survey_of(made) == "other"
    ran = build(index, made)
    assert ran.returncode == 0, ran.stderr
    assert "1 files are not what they were when it was made" in ran.stderr
    assert module(made).stat().st_size == 4096
    assert survey_of(made) == "whole"


def test_files_compared_before_are_not_compared_again_and_a_mark_that_is_gone_is_seen(
    made: Path,
) -> None:
    module(made).write_bytes(b"")
    assert survey_of(made, whole="tools python") == "other"
    assert survey_of(made, whole="tools engine") == "whole"
    (made / ".fortyninety-complete").unlink()
    assert survey_of(made, whole="tools engine") == "cut"


def test_a_mark_of_an_earlier_release_is_believed_as_far_as_sizes_go(
    index: Index, made: Path, tmp_path: Path
) -> None:
    mark = made / ".fortyninety-complete"
    born = module(made).stat().st_ino
    mark.write_bytes(b"")
    module(made).chmod(0o600)
    assert survey_of(made) == "other"
    assert build(index, made).returncode == 0
    assert (closed(made), survey_of(made)) == ([], "whole")
    assert module(made).stat().st_ino == born, "nothing is made anew"

    mark.write_bytes(b"")
    module(made).write_bytes(b"")
    assert build(index, made).returncode == 0
    assert module(made).stat().st_size == 4096


def test_a_mark_that_was_cut_is_none(index: Index, made: Path, tmp_path: Path) -> None:
    mark = made / ".fortyninety-complete"
    mark.write_bytes(mark.read_bytes()[:-9])
    assert survey_of(made) == "other"
    assert build(index, made).returncode == 0
    assert survey_of(made) == "whole"
