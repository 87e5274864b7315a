"""Debian packages at a pinned version, installed without a prompt and held where that is asked."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyinfra import host

from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging

# Seconds to wait for another process that holds apt's locks, such as unattended upgrades.
LOCK_TIMEOUT = 600

# Never prompt: not debconf, not needrestart, not dpkg about a changed configuration file. And keep
# no archives: CUDA's alone have 1.9 GB.
APT_GET = (
    "DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -y "
    f"-o DPkg::Lock::Timeout={LOCK_TIMEOUT} -o APT::Keep-Downloaded-Packages=false "
    "-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold"
)


@dataclass(frozen=True)
class Package:
    """A package that must be installed: at a version that begins with `version`, if given."""

    name: str
    version: str | None = None

    def satisfied_by(self, installed: str | None) -> bool:
        """Whether the installed version (None: not installed) is the wanted one."""
        return installed is not None and installed.startswith(self.version or "")

    @property
    def specification(self) -> str:
        """As apt-get's install takes it."""
        return self.name if self.version is None else f"{self.name}={self.version}*"


@converging
def packages(
    state: HostState,
    wanted: Sequence[Package],
    *,
    hold: bool = False,
    without: Sequence[str] = (),
) -> Iterator[Command]:
    """The `wanted` packages, without recommendations; held against upgrades if `hold`.

    `without` are removed in the same transaction where they are installed, so that there is no
    moment with neither. Every name must be among the survey's packages. An interrupted dpkg is
    repaired first.
    """
    missing = [each for each in wanted if not each.satisfied_by(state.installed(each.name))]
    removed = [name for name in without if state.installed(name) is not None]
    loose = [
        each.name
        for each in wanted
        if hold and (each in missing or not state.packages[each.name].held)
    ]
    if not missing and not removed and not loose and not state.dpkg_interrupted:
        host.noop(f"{', '.join(each.name for each in wanted)}: installed{' and held' * hold}")
        return
    if state.dpkg_interrupted:
        yield f"DEBIAN_FRONTEND=noninteractive dpkg --configure -a && {APT_GET} -f install"
    if missing or removed:
        yield f"{APT_GET} update"
        yield f"{APT_GET} install {transaction(missing, removed)}"
    if loose:
        yield f"apt-mark hold {' '.join(shlex.quote(name) for name in loose)}"


def transaction(missing: Sequence[Package], removed: Sequence[str]) -> str:
    """Options and words for apt-get's install that bring `missing` and take `removed` away."""
    words = [*(each.specification for each in missing), *(f"{name}-" for name in removed)]
    return (
        "--no-install-recommends --allow-change-held-packages --allow-downgrades "
        f"{shlex.join(words)}"
    ).rstrip()
