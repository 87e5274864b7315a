"""Build the stand-ins for the two libraries that NVIDIA's nvidia-smi and daemon talk through."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from lab.commands import run
from lab.errors import LabError

_HERE = Path(__file__).parent / "nvml"
_SOURCES = [_HERE / f"{name}.c" for name in ("library", "cards", "activity", "power", "state")]
_CONFIGURATION_SOURCE = _HERE / "configuration.c"
# NVML_ERROR_NOT_SUPPORTED: nvidia-smi then prints [N/A], as for a feature the card does not have.
_NOT_SUPPORTED = 3


def sources() -> list[Path]:
    """Every file that decides what the libraries do."""
    return [Path(__file__), *_SOURCES, _HERE / "stand_in.h", _CONFIGURATION_SOURCE]


def implementation() -> str:
    """The C source of all that the stand-in for libnvidia-ml implements itself."""
    return "\n".join(source.read_text() for source in _SOURCES)


def build(package_directory: Path, target: Path) -> None:
    """Build libnvidia-ml.so.1 and libnvidia-cfg.so.1 into TARGET.

    PACKAGE_DIRECTORY holds the libnvidia-ml-dev package, whose header says what to export.
    """
    packages = list(package_directory.glob("libnvidia-ml-dev_*.deb"))
    if len(packages) != 1:
        raise LabError(f"expected one libnvidia-ml-dev package in {package_directory}: {packages}")
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        run(["dpkg-deb", "--extract", str(packages[0]), str(work)])
        headers = list(work.rglob("nvml.h"))
        if len(headers) != 1:
            raise LabError(f"expected one nvml.h in {packages[0].name}, found {len(headers)}")
        stubs = work / "stubs.c"
        stubs.write_text(stub_source(headers[0].read_text(), implementation()))
        # The header maps old names onto new ones; the library must export both.
        options = ["-DNVML_NO_UNVERSIONED_FUNC_DEFS", f"-I{headers[0].parent}"]
        _compile(target / "libnvidia-ml.so.1", [*_SOURCES, stubs], options)
    _compile(target / "libnvidia-cfg.so.1", [_CONFIGURATION_SOURCE], [])


def _compile(library: Path, library_sources: list[Path], options: list[str]) -> None:
    run(
        [
            *("gcc", "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-shared", "-fPIC"),
            *("-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{library.name}"),
            *options,
            *("-o", str(library)),
            *(str(source) for source in library_sources),
        ]
    )


def stub_source(header: str, implementation: str) -> str:
    """C source for every function of the header that the stand-in does not implement itself."""
    declared = set(re.findall(r"\b(nvml[A-Z]\w*)\s*\(", header))
    defined = set(re.findall(r"^\w[\w \*]*?\b(nvml[A-Z]\w*)\s*\(", implementation, re.MULTILINE))
    return "".join(
        f"int {name}(void);\nint {name}(void) {{ return {_NOT_SUPPORTED}; }}\n"
        for name in sorted(declared - defined)
    )
