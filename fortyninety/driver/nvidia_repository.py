"""Describe NVIDIA's apt repository of each distribution: address, signing key, package names.

Each line says how it is known. None of it was run against the public repository by this project:
the lab's own repository has packages of the same names (lab/sources/nvidia_repository.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.settings.model import Settings

# Where the repositories of all distributions are, each in a folder of its own (NVIDIA's
# installation guide for Linux). `nvidia_repository` puts a mirror of this folder in its place.
PUBLIC_ADDRESS = "https://developer.download.nvidia.com/compute/cuda/repos"

# What the repositories call their origin (apt's own lists of them, in public listings).
ORIGIN = "NVIDIA"

# The folder of each distribution (NVIDIA's installation guide).
FOLDERS = {
    ("debian", "12"): "debian12",
    ("debian", "13"): "debian13",
    ("ubuntu", "22.04"): "ubuntu2204",
    ("ubuntu", "24.04"): "ubuntu2404",
}


@dataclass(frozen=True)
class SigningKey:
    """A key that a repository is signed with: its full fingerprint, and its file's name there."""

    fingerprint: str
    file: str


# Key 3bf863cc signs since April 2022 (NVIDIA's announcement of the rotation). Its self-signature is
# SHA-1, which Debian 13's apt refuses since February 2026, so the Debian 13 repository alone has
# the other (issues 34 and 39 of NVIDIA/cuda-repo-management). Full fingerprints: as apt prints them
# in those issues, and as several unrelated projects pin them.
_KEY_OF_2022 = SigningKey("EB693B3035CD5710E231E123A4B469963BF863CC", "3bf863cc.pub")
_KEY_OF_DEBIAN_13 = SigningKey("02182E60104FCDC26EAE1B8597A5D4CB8793F200", "8793F200.pub")

# The oldest branch in the public repository of a distribution, where that is not older than 550:
# Debian 13's began with 590, and 580 was asked for and not there in June 2026 (issue 38 of
# NVIDIA/cuda-repo-management). A mirror may have what it likes.
OLDEST_BRANCHES = {("debian", "13"): 590}

# From this branch on Ubuntu's packages no longer carry the branch in their names (NVIDIA's
# installation guide, "Recent updates"); which names they then have is not known well enough here.
UBUNTU_NAMES_END = 590

# From about this branch on the tools are in a package of their own, nvidia-driver-cuda, and the
# persistence daemon is one on Ubuntu too (seen in installations of 575 and 580).
TOOLS_IN_DRIVER_CUDA = 565


@dataclass(frozen=True)
class Repository:
    """The repository of one distribution: a folder without suites, its key, who else signs it.

    `address` ends with a slash, as apt asks of such a folder.
    """

    address: str
    key_address: str
    fingerprint: str


def repository(settings: Settings, distribution: tuple[str, str]) -> Repository | None:
    """The repository for a distribution (its name and version), or None where NVIDIA has none."""
    folder = FOLDERS.get(distribution)
    if folder is None:
        return None
    address = f"{settings.nvidia_repository or PUBLIC_ADDRESS}/{folder}/x86_64/"
    key = _signing_key(settings, distribution)
    return Repository(address, f"{address}{key.file}", key.fingerprint)


def _signing_key(settings: Settings, distribution: tuple[str, str]) -> SigningKey:
    known = (_KEY_OF_2022, _KEY_OF_DEBIAN_13)
    fingerprint = settings.nvidia_repository_key
    if fingerprint is None:
        return _KEY_OF_DEBIAN_13 if distribution == ("debian", "13") else _KEY_OF_2022
    for key in known:
        if key.fingerprint == fingerprint:
            return key
    # As NVIDIA names its own: by the last eight digits.
    return SigningKey(fingerprint, f"{fingerprint[-8:].lower()}.pub")


def module_package(distribution: str, branch: int, *, open_modules: bool) -> str:
    """The package whose source DKMS builds the kernel modules from."""
    if distribution == "ubuntu":
        return f"nvidia-dkms-{branch}{'-open' if open_modules else ''}"
    return "nvidia-kernel-open-dkms" if open_modules else "nvidia-kernel-dkms"


def driver_packages(distribution: str, branch: int, *, open_modules: bool) -> tuple[str, ...]:
    """The packages of a driver that computes and draws nothing; all have the driver's version.

    What NVIDIA's guide calls a compute-only installation, by name. Not `cuda-drivers-<branch>`: on
    Debian it takes any later branch too (NVIDIA's forum, "cuda-drivers-580 package improperly pulls
    in v590 components"), and everywhere it brings an X server.
    """
    module = module_package(distribution, branch, open_modules=open_modules)
    later = branch >= TOOLS_IN_DRIVER_CUDA
    if distribution == "ubuntu":
        own = ("libnvidia-compute", "nvidia-utils", "nvidia-compute-utils")
        daemon = ("nvidia-persistenced",) if later else ()
        return (module, *(f"{name}-{branch}" for name in own), "nvidia-modprobe", *daemon)
    tools = "nvidia-driver-cuda" if later else "nvidia-smi"
    return (module, "libcuda1", "libnvidia-ml1", tools, "nvidia-modprobe", "nvidia-persistenced")


def cuda_package(version: str) -> str:
    """The toolkit of a CUDA version; unlike `cuda`, it depends on no driver (NVIDIA's guide)."""
    return f"cuda-toolkit-{version.replace('.', '-')}"


def cuda_directory(version: str) -> str:
    """Where that toolkit is on the host, beside those of other versions."""
    return f"/usr/local/cuda-{version}"
