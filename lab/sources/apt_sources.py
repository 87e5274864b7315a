"""Which Debian archive this machine uses, read from its own apt sources.

The lab writes no archive's name anywhere: hosts fetch from where the machine fetches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
COMPONENTS = ("main", "contrib", "non-free", "non-free-firmware")
# Suites of the machine's own release under whichever of its names the sources use.
_ALIASES = ("stable", "oldstable", "testing")


@dataclass(frozen=True)
class Source:
    """One archive in an apt source: a URI, the suites taken from it, how it is trusted."""

    uri: str
    suites: tuple[str, ...]
    signed_by: str | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Archives:
    """The Debian archive and the security archive that this machine fetches from."""

    debian: Source
    security: Source | None

    def lines(self, release: str) -> list[str]:
        """One-line apt entries for RELEASE: base, updates and, when known, security."""
        entries = [_line(self.debian, release), _line(self.debian, f"{release}-updates")]
        if self.security:
            entries.append(_line(self.security, f"{release}-security"))
        return entries

    def deb822(self, release: str) -> str:
        """The same as a `debian.sources` file, as Debian's own images carry it."""
        stanzas = [_stanza(self.debian, f"{release} {release}-updates")]
        if self.security:
            stanzas.append(_stanza(self.security, f"{release}-security"))
        return "\n".join(stanzas)


def machine_archives(etc: Path = Path("/etc")) -> Archives:
    """Read the archives this machine's apt uses; raise LabError when none is Debian's."""
    codename = _codename(etc / "os-release")
    sources: list[Source] = []
    one_line = [etc / "apt/sources.list", *sorted((etc / "apt/sources.list.d").glob("*.list"))]
    for path in one_line:
        if path.is_file():
            sources += parse_one_line(path.read_text())
    for path in sorted((etc / "apt/sources.list.d").glob("*.sources")):
        sources += parse_deb822(path.read_text())
    return choose(sources, codename)


def choose(sources: Iterable[Source], codename: str) -> Archives:
    """Pick the Debian and security archives out of all of the machine's sources."""
    releases = (codename, *_ALIASES)
    debian = security = None
    for source in sources:
        for suite in source.suites:
            if suite in releases and debian is None:
                debian = source
            if suite in {f"{release}-security" for release in releases} and security is None:
                security = source
    if debian is None:
        raise LabError(
            f"no apt source of this machine has the suite {codename}: the lab fetches its hosts' "
            "packages from where the machine does. Add Debian's archive to /etc/apt/sources.list.d"
        )
    return Archives(_resolve(debian), _resolve(security) if security else None)


def parse_one_line(text: str) -> list[Source]:
    """Parse the `deb [options] uri suite components` form."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)", line)
        if match:
            options = dict(
                option.split("=", 1) for option in (match[1] or "").split() if "=" in option
            )
            found.append(
                Source(
                    uri=match[2],
                    suites=(match[3].rstrip("/"),),
                    signed_by=options.get("signed-by"),
                    trusted=options.get("trusted") == "yes",
                )
            )
    return found


def parse_deb822(text: str) -> list[Source]:
    """Parse the stanza form; sources that are disabled or hold no binary packages are left out."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").lower() != "no"
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        signed_by = fields.get("signed-by", "").strip()
        found += [
            Source(
                uri=uri,
                suites=tuple(fields.get("suites", "").split()),
                # A key written into the stanza itself cannot be handed on as a path.
                signed_by=signed_by if signed_by.startswith("/") else None,
                trusted=fields.get("trusted", "no").lower() == "yes",
            )
            for uri in fields.get("uris", "").split()
        ]
    return found


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _resolve(source: Source) -> Source:
    """Follow `mirror+file:` lists, which cloud images use, to the first address they hold."""
    if source.uri.startswith("mirror+file:"):
        listing = Path(source.uri.removeprefix("mirror+file:"))
        for line in listing.read_text().splitlines():
            address = line.split("#")[0].split()
            if address:
                return Source(address[0], source.suites, source.signed_by, source.trusted)
        raise LabError(f"{listing}, which this machine's apt source names, holds no address")
    return source


def _line(source: Source, suite: str) -> str:
    option = "trusted=yes" if source.trusted else f"signed-by={source.signed_by or DEBIAN_KEYRING}"
    return f"deb [{option}] {source.uri} {suite} {' '.join(COMPONENTS)}"


def _stanza(source: Source, suites: str) -> str:
    trust = "Trusted: yes" if source.trusted else f"Signed-By: {source.signed_by or DEBIAN_KEYRING}"
    return (
        f"Types: deb\nURIs: {source.uri}\nSuites: {suites}\n"
        f"Components: {' '.join(COMPONENTS)}\n{trust}\n"
    )


def _codename(os_release: Path) -> str:
    for line in os_release.read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise LabError(f"{os_release} has no VERSION_CODENAME: the lab runs on Debian 12 or 13")
