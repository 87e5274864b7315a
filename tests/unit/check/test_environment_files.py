"""How `fortyninety check` compares an environment with what its packages say of their files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import ROOT

PROGRAM = ROOT / "tests" / "host" / "on_host" / "environment_files.py"
# More than is read at once, and no whole number of that.
LARGE = bytes(range(256)) * 3000


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment of one package: a module, its compiled file, a large file and a program."""
    environment = tmp_path / "environment"
    packages = environment / "lib" / "python3.11" / "site-packages"
    (environment / "bin").mkdir(parents=True)
    (packages / "engine-1.0.dist-info").mkdir(parents=True)
    (packages / "engine.py").write_text("speed = 1\n")
    (packages / "weights.bin").write_bytes(LARGE)
    (environment / "bin" / "serve").write_text("#!/bin/sh\n")
    files = ("engine.py", "weights.bin", "../../../bin/serve")
    contents = {path: (packages / path).read_bytes() for path in files}
    lines = [f"{path},sha256={_digest(each)},{len(each)}" for path, each in contents.items()]
    record = packages / "engine-1.0.dist-info" / "RECORD"
    record.write_text("\n".join([*lines, "engine-1.0.dist-info/RECORD,,"]) + "\n")
    by_time = py_compile.PycInvalidationMode.TIMESTAMP
    py_compile.compile(str(packages / "engine.py"), doraise=True, invalidation_mode=by_time)
    (environment / ".fortyninety-complete").touch()
    return environment


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _wrong(environment: Path) -> list[str]:
    """What is said to be wrong, without the folder before it."""
    ran = subprocess.run(
        [sys.executable, "-I", PROGRAM, environment],
        capture_output=True,
        text=True,
        check=True,
        # Should it wait for who writes into a pipe, it would wait for ever.
        timeout=300,
    )
    found: dict[str, Any] = json.loads(ran.stdout)
    packages = environment.resolve() / "lib" / "python3.11" / "site-packages"
    return [each.removeprefix(f"{packages}/") for each in found["wrong"]]


def test_an_environment_as_its_packages_brought_it_is_right(environment: Path) -> None:
    assert _wrong(environment) == []


@pytest.mark.parametrize(("path", "at"), [("engine.py", 8), ("weights.bin", 700_000)])
def test_a_byte_that_was_changed_is_named_whatever_the_time_of_its_file(
    environment: Path, path: str, at: int
) -> None:
    file = environment / "lib" / "python3.11" / "site-packages" / path
    state, content = file.stat(), bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert _wrong(environment) == [f"{path} is not the file of its package"]


def test_what_is_missing_longer_or_nobodys_is_named(environment: Path) -> None:
    packages = environment / "lib" / "python3.11" / "site-packages"
    (packages / "weights.bin").write_bytes(LARGE + b"more")
    (environment / "bin" / "serve").unlink()
    (packages / "by_hand.pth").write_text("import os\n")
    serve = environment.resolve() / "bin" / "serve"
    assert sorted(_wrong(environment)) == sorted(
        [
            f"weights.bin has {len(LARGE) + 4} bytes, its package says {len(LARGE)}",
            f"{serve} is missing",
            "by_hand.pth is of no package",
        ]
    )


def test_an_environment_that_could_not_be_compared_is_not_right(environment: Path) -> None:
    packages = environment / "lib" / "python3.11" / "site-packages"
    (packages / "other-1.0.dist-info").mkdir()
    (packages / "other-1.0.dist-info" / "RECORD").write_text("engine.py,sha256=x,many\n")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        _wrong(environment)
    assert "invalid literal for int() with base 10: 'many'" in failed.value.stderr


def test_a_pipe_in_a_files_place_is_named_and_not_waited_for(environment: Path) -> None:
    file = environment / "lib" / "python3.11" / "site-packages" / "engine.py"
    file.unlink()
    os.mkfifo(file)
    assert "engine.py has 0 bytes, its package says 10" in _wrong(environment)


@pytest.mark.parametrize("at", [4, 8], ids=["its flags", "the time of its source"])
def test_a_compiled_file_of_another_source_is_named(environment: Path, at: int) -> None:
    packages = environment / "lib" / "python3.11" / "site-packages"
    (compiled,) = (packages / "__pycache__").iterdir()
    state, content = compiled.stat(), bytearray(compiled.read_bytes())
    content[at] ^= 1
    compiled.write_bytes(content)
    os.utime(compiled, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert _wrong(environment) == [f"__pycache__/{compiled.name} was compiled from another source"]
