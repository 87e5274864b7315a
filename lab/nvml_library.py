"""Builds the stand-in for NVIDIA's management library, which the real nvidia-smi talks to."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from lab.commands import run
from lab.errors import LabError

_SOURCE = Path(__file__).parent / "nvml" / "stand_in.c"
# NVML_ERROR_NOT_SUPPORTED: nvidia-smi then prints [N/A], as for a feature the card does not have.
_NOT_SUPPORTED = 3


def sources() -> list[Path]:
    """Every file that decides what the library does."""
    return [Path(__file__), _SOURCE]


def build(package_directory: Path, target: Path) -> Path:
    """Build libnvidia-ml.so.1 into TARGET from the header in a libnvidia-ml-dev package."""
    packages = list(package_directory.glob("libnvidia-ml-dev_*.deb"))
    if len(packages) != 1:
        raise LabError(f"expected one libnvidia-ml-dev package in {package_directory}: {packages}")
    target.mkdir(parents=True, exist_ok=True)
    library = target / "libnvidia-ml.so.1"
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        run(["dpkg-deb", "--extract", str(packages[0]), str(work)])
        headers = list(work.rglob("nvml.h"))
        if len(headers) != 1:
            raise LabError(f"expected one nvml.h in {packages[0].name}, found {len(headers)}")
        stubs = work / "stubs.c"
        stubs.write_text(stub_source(headers[0].read_text(), _SOURCE.read_text()))
        run(
            [
                *("gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"),
                # The header maps old names onto new ones; the library must export both.
                "-DNVML_NO_UNVERSIONED_FUNC_DEFS",
                f"-I{headers[0].parent}",
                "-Wl,-soname,libnvidia-ml.so.1",
                *("-o", str(library), str(_SOURCE), str(stubs)),
            ]
        )
    return library


def stub_source(header: str, implementation: str) -> str:
    """C source for every function of the header that the stand-in does not implement itself."""
    declared = set(re.findall(r"\b(nvml[A-Z]\w*)\s*\(", header))
    defined = set(re.findall(r"^\w[\w \*]*?\b(nvml[A-Z]\w*)\s*\(", implementation, re.MULTILINE))
    return "".join(
        f"int {name}(void);\nint {name}(void) {{ return {_NOT_SUPPORTED}; }}\n"
        for name in sorted(declared - defined)
    )
