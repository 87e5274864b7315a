"""This machine's own apt in a folder of a test's own, over archives that the test writes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A suite of an archive: what it calls itself, and the versions that it has of packages.

    `sources` are the names of the source packages of those that are called otherwise.
    """

    origin: str
    codename: str
    packages: dict[str, str]
    label: str = "x"
    sources: Mapping[str, str] = field(default_factory=dict)


class RealApt:
    """apt with `archives`, `preferences` by file name, and `installed` versions.

    `sources` are lines of sources.list for archives that somebody else serves.
    """

    def __init__(
        self,
        folder: Path,
        archives: Sequence[Archive],
        preferences: dict[str, str],
        installed: dict[str, str] | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        self._root = folder / "root"
        for name in ("etc/apt/preferences.d", "etc/apt/sources.list.d", "var/lib/dpkg"):
            (self._root / name).mkdir(parents=True)
        for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
            (self._root / name).mkdir(parents=True)
        for name, text in preferences.items():
            (self._root / "etc/apt/preferences.d" / name).write_text(text)
        status = "".join(
            f"{_stanza(name, version)}Status: install ok installed\n\n"
            for name, version in (installed or {}).items()
        )
        (self._root / "var/lib/dpkg/status").write_text(status)
        lines = [f"{source}\n" for source in sources]
        for number, archive in enumerate(archives):
            where = folder / str(number)
            where.mkdir()
            (where / "Packages").write_text(
                "\n".join(
                    f"{_stanza(name, version)}Source: {archive.sources.get(name, name)}\n"
                    f"Filename: ./{name}.deb\nSize: 1\nSHA256: {'0' * 64}\n"
                    for name, version in archive.packages.items()
                )
            )
            (where / "Release").write_text(
                f"Origin: {archive.origin}\nLabel: {archive.label}\nCodename: {archive.codename}\n"
            )
            lines.append(f"deb [trusted=yes] file:{where} ./\n")
        (self._root / "etc/apt/sources.list").write_text("".join(lines))
        self.run("apt-get", "update")

    def candidate(self, package: str) -> str | None:
        """The version that an installation or an upgrade would take, or None."""
        shown = self.run("apt-cache", "policy", package)
        for line in shown.splitlines():
            if line.startswith("  Candidate: "):
                version = line.removeprefix("  Candidate: ")
                return None if version == "(none)" else version
        return None

    def run(self, program: str, *words: str) -> str:
        """What a program of apt's prints."""
        configuration = self._root / "apt.conf"
        configuration.write_text(
            f'Dir "{self._root}";\nDir::State::status "{self._root}/var/lib/dpkg/status";\n'
            'APT::Architecture "amd64";\nAPT::Sandbox::User "root";\n#clear APT::Update;\n'
        )
        return subprocess.run(
            [program, *words],
            env={**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def _stanza(name: str, version: str) -> str:
    return f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x\n"
