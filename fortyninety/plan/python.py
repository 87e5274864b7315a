"""Decide where a host's Python comes from, and where its packages are fetched from."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.packages.package import Package
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading

# Where Python 3.11 comes from unless the settings say otherwise: Debian 12 has it, on Debian 13
# (whose only one is 3.13) Debian 12's installs beside its own (measured), and elsewhere uv's build.
PYTHON_SOURCES = {("debian", "12"): "distribution", ("debian", "13"): "debian-12"}
PYTHON_SUITE = "bookworm"


@dataclass(frozen=True)
class PackageSource:
    """Where Python packages are fetched from: an index (None: the host's own), a folder of wheels.

    `no_index` means the folder alone.
    """

    index: str | None
    no_index: bool
    wheels: str | None


def package_source(settings: Settings) -> PackageSource:
    """Where the settings say that Python packages come from."""
    named = settings.package_index not in ("host", "none")
    return PackageSource(
        index=settings.package_index if named else None,
        no_index=settings.package_index == "none",
        wheels=settings.wheel_directory,
    )


def python_source(settings: Settings, reading: HostReading) -> str:
    """Where the engine's Python comes from on this host, with "auto" resolved."""
    if settings.python_source != "auto":
        return settings.python_source
    return PYTHON_SOURCES.get((reading.os.distribution, reading.os.version), "uv")


def python_packages(release: Release, source: str) -> tuple[Package, ...]:
    """The engine's interpreter, what compiles kernels at run time, and what its card asks for.

    Triton compiles a launcher in C against Python's headers, which uv's builds carry along.
    python3-venv is for the host's tools.
    """
    interpreter = (
        () if source == "uv" else (f"python{release.python}", f"python{release.python}-dev")
    )
    names = (*interpreter, "gcc", "libc6-dev", "python3-venv", *release.host_packages)
    return tuple(Package(name) for name in dict.fromkeys(names))
