"""Choose a host's driver and CUDA toolkit, where they come from, and what gives way to them.

Pure functions of the settings and one reading of the host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fortyninety.driver import nvidia_repository
from fortyninety.driver.nvidia_repository import Repository
from fortyninety.driver.pins import MODULE_PACKAGE, DriverPins, is_driver_name
from fortyninety.driver.repository_pins import nvidia_pins
from fortyninety.packages.package import Package
from fortyninety.packages.pins import Pin
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading

SUPPORTED_DISTRIBUTIONS = {
    ("debian", "12"): "Debian 12",
    ("debian", "13"): "Debian 13",
    ("ubuntu", "22.04"): "Ubuntu 22.04",
    ("ubuntu", "24.04"): "Ubuntu 24.04",
}

# The branch and the toolkit in a distribution's own archive, where they are late enough: Debian 13
# has 550.163.01 and CUDA 12.4.131 (run). Debian 12 has 535 and 11.8.
DISTRIBUTION_DRIVERS = {("debian", "13"): 550}
DISTRIBUTION_TOOLKITS = {("debian", "13"): "12.4"}

# From this branch on NVIDIA recommends its open modules for cards since Turing, which the RTX 4090
# is; before it, the proprietary ones (NVIDIA's announcement for R560). The card takes both.
OPEN_MODULES_SINCE = 560

# Of a driver, and packaged by Debian at versions of their own.
COMPANIONS = frozenset({"nvidia-modprobe", "nvidia-persistenced"})

# A name that carries a branch, as Ubuntu's do.
NAMED_BRANCH = re.compile(r"-(\d{3})(?=-|$)")

# What the key of a repository is fetched and read with.
REPOSITORY_TOOLS = (Package("ca-certificates"), Package("gpg"))


@dataclass(frozen=True)
class DriverPlan:
    """The driver and the toolkit of one host.

    `source` is "distribution", "nvidia" or "present" (the image brings it; then there are no
    packages and no pins). `repository` is NVIDIA's, where the driver or the toolkit comes from it.
    `obsolete` is removed in the transaction that installs `packages`. `nvcc` is where the compiler
    is, where the toolkit does not put it on the path itself. `repository_pins` are what apt takes
    from the repository.
    """

    source: str
    repository: Repository | None
    headers: tuple[Package, ...]
    packages: tuple[Package, ...]
    obsolete: tuple[str, ...]
    pins: DriverPins | None
    cuda_packages: tuple[Package, ...]
    cuda_directory: str | None
    repository_pins: tuple[Pin, ...] = ()

    @property
    def nvcc(self) -> str | None:
        """The compiler of a toolkit that is beside others, or None where /usr/bin has it."""
        return f"{self.cuda_directory}/bin/nvcc" if self.cuda_directory else None

    @property
    def tools(self) -> tuple[Package, ...]:
        """What the repository's key is fetched and read with."""
        return REPOSITORY_TOOLS if self.repository else ()


# Of a host without an engine, whose cards, if it has any, are nobody's business.
NO_DRIVER = DriverPlan(
    source="present",
    repository=None,
    headers=(),
    packages=(),
    obsolete=(),
    pins=None,
    cuda_packages=(),
    cuda_directory=None,
)


def plan_driver(settings: Settings, reading: HostReading) -> DriverPlan:
    """What the driver's and the toolkit's stage bring about on a host."""
    distribution = (reading.os.distribution, reading.os.version)
    source = driver_source(settings, reading)
    toolkit_from_nvidia = DISTRIBUTION_TOOLKITS.get(distribution) != settings.cuda_version
    packages = _driver_packages(settings, reading, source)
    repository = (
        nvidia_repository.repository(settings, distribution)
        if source == "nvidia" or toolkit_from_nvidia
        else None
    )
    return DriverPlan(
        source=source,
        repository=repository,
        headers=() if source == "present" else headers(reading),
        packages=packages,
        obsolete=obsolete_packages(settings, reading, packages) if packages else (),
        pins=_pins(settings, reading, packages, repository) if packages else None,
        cuda_packages=(
            Package(nvidia_repository.cuda_package(settings.cuda_version))
            if toolkit_from_nvidia
            else Package("nvidia-cuda-toolkit", f"{settings.cuda_version}."),
        ),
        cuda_directory=nvidia_repository.cuda_directory(settings.cuda_version)
        if toolkit_from_nvidia
        else None,
        repository_pins=nvidia_pins(
            repository,
            reading.apt.archives,
            driver=source == "nvidia",
            cuda_version=settings.cuda_version if toolkit_from_nvidia else None,
        )
        if repository is not None
        else (),
    )


def driver_source(settings: Settings, reading: HostReading) -> str:
    """Where the driver comes from on this host, with "auto" resolved."""
    if settings.driver_source != "auto":
        return settings.driver_source
    distribution = (reading.os.distribution, reading.os.version)
    own = DISTRIBUTION_DRIVERS.get(distribution)
    return "distribution" if own == settings.driver_branch else "nvidia"


def open_modules(settings: Settings) -> bool:
    """Whether the kernel modules are NVIDIA's open ones, with "auto" resolved."""
    if settings.driver_kernel_modules == "auto":
        return settings.driver_branch >= OPEN_MODULES_SINCE
    return settings.driver_kernel_modules == "open"


def wanted_version(settings: Settings) -> str:
    """What the version of every package of the driver begins with."""
    if settings.driver_version is not None:
        return f"{settings.driver_version}-"
    return f"{settings.driver_branch}."


def _driver_packages(settings: Settings, reading: HostReading, source: str) -> tuple[Package, ...]:
    """The packages of the driver; the first is the one that DKMS builds the modules from.

    Where that is there at a version that is right, all others are of exactly that version: a
    library of a later one does not work with it.
    """
    if source == "present":
        return ()
    if source == "nvidia":
        names = nvidia_repository.driver_packages(
            reading.os.distribution, settings.driver_branch, open_modules=open_modules(settings)
        )
        companions: tuple[Package, ...] = ()
    else:
        module = "nvidia-open-kernel-dkms" if open_modules(settings) else "nvidia-kernel-dkms"
        names = (module, "libcuda1", "libnvidia-ml1", "nvidia-smi")
        # Debian packages these two by themselves: the daemon at a version of the branch, and the
        # helper that makes device nodes at one of its own, which goes with any driver.
        daemon = Package("nvidia-persistenced", f"{settings.driver_branch}.")
        companions = (Package("nvidia-modprobe"), daemon)
    version = wanted_version(settings)
    installed = reading.installed(names[0])
    if installed is not None and installed.startswith(version):
        version = f"{installed.partition('-')[0]}-"
    return (
        *(Package(name, version) for name in names),
        *companions,
    )


def headers(reading: HostReading) -> tuple[Package, ...]:
    """Headers for the kernels that the driver is built for.

    The headers' metapackage follows the image's, so that a kernel never arrives without them. It is
    not held for the same reason: it must come along whenever the image does.
    """
    flavours = [
        name.replace("image", "headers", 1)
        for name, package in sorted(reading.apt.packages.items())
        if package.installed and _is_kernel_metapackage(name, reading.os.distribution)
    ]
    newest = [f"linux-headers-{reading.kernels.next}"] if reading.kernels.next else []
    return tuple(Package(name) for name in dict.fromkeys([*flavours, *newest]))


def _is_kernel_metapackage(name: str, distribution: str) -> bool:
    """Whether a package stands for the newest kernel of a flavour, such as linux-image-generic."""
    if distribution == "ubuntu":
        # Not the images themselves (linux-image-6.8.0-...), nor what their signing needs.
        return (
            re.fullmatch(r"linux-image-(?!unsigned-|uc-|extra-)[a-z][a-z0-9.-]*", name) is not None
        )
    return re.fullmatch(r"linux-image-[a-z-]*amd64", name) is not None


def held_headers(reading: HostReading) -> tuple[str, ...]:
    """Headers that are held although the kernel they belong to is not, and so would come alone."""
    return tuple(
        name
        for name, package in sorted(reading.apt.packages.items())
        if name.startswith("linux-headers-")
        and package.held
        and not _held(reading, name.replace("headers", "image", 1))
    )


def _held(reading: HostReading, name: str) -> bool:
    package = reading.apt.packages.get(name)
    return package is not None and package.held


def obsolete_packages(
    settings: Settings, reading: HostReading, wanted: tuple[Package, ...]
) -> tuple[str, ...]:
    """What of another driver is installed under names that the wanted one does not take over.

    The modules of the other kind, and packages that carry another branch in their names.
    """
    keep = {package.name for package in wanted}
    found = []
    for name, package in sorted(reading.apt.packages.items()):
        if package.installed is None or name in keep:
            continue
        branch = NAMED_BRANCH.search(name)
        other = branch is not None and int(branch[1]) != settings.driver_branch
        if MODULE_PACKAGE.fullmatch(name) or (is_driver_name(name) and other):
            found.append(name)
    return tuple(found)


def changes_driver(settings: Settings, reading: HostReading) -> bool:
    """Whether a driver is installed and another one is to take its place."""
    packages = _driver_packages(settings, reading, driver_source(settings, reading))
    return bool(packages) and _pins(settings, reading, packages, None).replaces(reading)


def _pins(
    settings: Settings,
    reading: HostReading,
    packages: tuple[Package, ...],
    repository: Repository | None,
) -> DriverPins:
    # Ubuntu's archive has packages of the same names, some of which only bring a later branch; and
    # a repository that is there for its toolkit has the driver of the archive's own branch as well.
    not_from = "Ubuntu" if reading.os.distribution == "ubuntu" else None
    if repository is not None and driver_source(settings, reading) == "distribution":
        not_from = nvidia_repository.ORIGIN
    return DriverPins(
        module=packages[0].name,
        wanted=wanted_version(settings),
        companions=tuple(each.name for each in packages if each.name in COMPANIONS),
        not_from=not_from,
    )
