"""Asking dpkg and apt what is installed, what is whole, and what an upgrade would take."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from testinfra.host import Host

from tests.host.bounded_ssh import HASHING_SECONDS
from tests.host.read_before import ReadBefore, below, of_packages

# The source packages of the driver and the toolkit begin so, in Debian's archive and in NVIDIA's.
DRIVER_SOURCES = ("nvidia-graphics-drivers", "nvidia-open", "nvidia-driver", "nvidia-kernel-open")
TOOLKIT_SOURCES = ("nvidia-cuda-toolkit", "cuda-toolkit", "cuda-nvcc", "cuda-compiler")
NOT_THE_DRIVER = ("nvidia-graphics-drivers-settings",)


@dataclass(frozen=True)
class Package:
    """A package that is installed: its version, and the name of its source package."""

    name: str
    version: str
    source: str

    @property
    def upstream(self) -> str:
        """The version without epoch and packaging: 550.163.01 of 550.163.01-2."""
        return self.version.partition(":")[2 if ":" in self.version else 0].rpartition("-")[0]


def installed(host: Host, sources: tuple[str, ...]) -> list[Package]:
    """The installed packages that were built from a source of such a name."""
    listed = host.check_output(
        "dpkg-query --show "
        "--showformat='${db:Status-Status} ${Package} ${Version} ${source:Package}\\n'"
    )
    found = [Package(*line.split()[1:]) for line in listed.splitlines() if line[:9] == "installed"]
    return [
        each
        for each in found
        if each.source.startswith(sources) and not each.source.startswith(NOT_THE_DRIVER)
    ]


def owner(host: Host, path: str) -> str | None:
    """The package that the file at `path` is of, links followed; None where it is nobody's."""
    asked = host.run(f'dpkg-query --search "$(realpath {shlex.quote(path)})"')
    return asked.stdout.partition(":")[0] if asked.rc == 0 else None


def changed_files(host: Host, before: ReadBefore, names: list[str]) -> str:
    """What dpkg says of files of these packages that are not as they were installed.

    Configuration files are the operator's to change.
    """
    command = _verifying(names)

    def read() -> str:
        said = host.run(command, seconds=HASHING_SECONDS)
        lines = said.stdout.splitlines() + said.stderr.splitlines()
        return "\n".join(line for line in lines if line[9:12].strip() != "c")

    return before.unless_unchanged(command, of_packages(names), read, lambda found: not found)


def changed_configuration(host: Host, names: list[str]) -> list[str]:
    """The configuration files of these packages that are not as they were installed."""
    said = host.run(_verifying(names), seconds=HASHING_SECONDS)
    return [line[12:].strip() for line in said.stdout.splitlines() if line[9:12].strip() == "c"]


def _verifying(names: list[str]) -> str:
    return f"dpkg --verify {' '.join(map(shlex.quote, names))}"


# An archive in a temporary folder that offers a newer revision of each named package, as a security
# update would; apt is asked what it would do with it, in a simulation that writes nothing else.
# The packages ask for nothing, so that none is kept back for another's sake.
OFFER = r"""
set -eu
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/archive" "$work/lists/partial" "$work/parts"
architecture=$(dpkg --print-architecture)
for package in "$@"; do
  printf 'Package: %s\nVersion: %s+newer1\nArchitecture: %s\nMaintainer: nobody\n' \
    "${package%%=*}" "${package#*=}" "$architecture"
  printf 'Filename: ./%s.deb\nSize: 1\nSHA256: %064d\nDescription: newer\n\n' "${package%%=*}" 0
done > "$work/archive/Packages"
printf 'deb [trusted=yes] copy:%s/archive ./\n' "$work" > "$work/sources.list"
ask() {
  apt-get -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts="$work/parts" \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o APT::Sandbox::User=root -o APT::Get::List-Cleanup=false -o Debug::NoLocking=true "$@"
}
ask -qq update
ask -qq --simulate dist-upgrade | sed -n 's/^Inst \([^ ]*\).*/\1/p'
"""


@dataclass(frozen=True)
class SimulatedUpgrade:
    """What `apt-get --simulate dist-upgrade` ended with and said."""

    rc: int
    stdout: str
    stderr: str


def simulated(host: Host, before: ReadBefore) -> SimulatedUpgrade:
    """Have apt simulate an upgrade of everything, which takes a host a second of its processor.

    Once as long as nothing is written to what apt goes by: settings, lists, and what is installed.
    """
    command = "LC_ALL=C apt-get --simulate dist-upgrade"

    def read() -> list[Any]:
        ran = host.run(command)
        return [ran.rc, ran.stdout, ran.stderr]

    apts = below(
        *("/etc/apt", "/var/lib/apt", "/var/cache/apt/archives"),
        *("/var/lib/dpkg/status", "/var/lib/dpkg/updates"),
    )
    return SimulatedUpgrade(*before.unless_unchanged(command, apts, read, lambda it: it[0] == 0))


def taken_by_an_upgrade(host: Host, packages: list[Package]) -> list[str]:
    """Those of the packages that `apt-get dist-upgrade` would replace by a newer revision."""
    words = " ".join(shlex.quote(f"{each.name}={each.version}") for each in packages)
    asked = host.run(f"sh -c {shlex.quote(OFFER)} offer {words}")
    assert asked.rc == 0, (
        f"apt cannot simulate an upgrade: {asked.stderr.strip()[-400:]}. Run `apt-get check`"
    )
    return sorted({name.partition(":")[0] for name in asked.stdout.split()})


def taken_unattended(host: Host, packages: list[Package]) -> list[str]:
    """Those that unattended-upgrades may replace: neither held nor on its list of exceptions."""
    if not host.file("/usr/bin/unattended-upgrade").exists:
        return []
    held = host.check_output("apt-mark showhold").split()
    dumped = host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")
    patterns = [line.partition('"')[2].rstrip('";') for line in dumped.splitlines() if '"' in line]
    # Its own matching: Python's regular expressions, from the beginning of the name.
    script = (
        "import re, sys; names, patterns = (each.split() for each in sys.argv[1:]); "
        "print(*(n for n in names if not any(re.match(p, n) for p in patterns)))"
    )
    names = " ".join(each.name for each in packages if each.name not in held)
    words = f"{shlex.quote(names)} {shlex.quote(' '.join(filter(None, patterns)))}"
    return str(host.check_output(f"python3 -c {shlex.quote(script)} {words}")).split()
