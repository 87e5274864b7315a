"""Let apt take from a repository the few packages that are needed from it, and no others.

apt gives every repository the same priority as the distribution's own archive, so one that signs
for a driver could replace any package of the host. A stanza that names packages counts before the
one for all others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from fortyninety.driver import nvidia_repository
from fortyninety.driver.nvidia_repository import Repository
from fortyninety.packages.pins import NEVER, USUAL, Pin
from fortyninety.survey.reading import AptArchive
from fortyninety.survey.request import DRIVER_NAMES

# NVIDIA's modules need a later DKMS than Debian 12 has from 570.148 on, which their repository
# carries (docs/driver.md).
MODULE_TOOLS = ("dkms",)


def toolkit_names(version: str) -> tuple[str, ...]:
    """The names of a CUDA toolkit's packages (of 12.4, say), as patterns of apt's.

    Each carries the version, but for the configuration that all share and the profilers, which have
    versions of their own in their names. Source: the dependencies of cuda-toolkit-12-4 and
    cuda-toolkit-13-0 in public listings.
    """
    dashed, major = version.replace(".", "-"), version.partition(".")[0]
    return (
        *(f"cuda-*-{dashed}", f"lib*-{dashed}", f"gds-tools-{dashed}"),
        f"cuda-toolkit-{dashed}-config-common",
        f"cuda-toolkit-{major}-config-common",
        "cuda-toolkit-config-common",
        *("nsight-compute-[0-9]*", "nsight-systems-[0-9]*"),
    )


def nvidia_pins(
    repository: Repository,
    archives: Sequence[AptArchive],
    *,
    driver: bool,
    cuda_version: str | None,
) -> tuple[Pin, ...]:
    """What is taken from NVIDIA's repository: a `driver` with what builds it, a toolkit, or both.

    `archives` are the host's own. The repository is known by its origin, and a mirror, which may
    call itself otherwise, by its address too, unless other packages come from there.
    """
    names = (
        *((*DRIVER_NAMES, *MODULE_TOOLS) if driver else ()),
        *(toolkit_names(cuda_version) if cuda_version else ()),
    )
    marks = [f"release o={nvidia_repository.ORIGIN}"]
    site = urlsplit(repository.address).hostname
    if site is not None and site not in _sites(archives):
        marks.append(f'origin "{site}"')
    return (
        *(Pin(names, mark, USUAL) for mark in marks),
        *(Pin(("*",), mark, NEVER) for mark in marks),
    )


def _sites(archives: Sequence[AptArchive]) -> Collection[str | None]:
    return {urlsplit(archive.address).hostname for archive in archives}
