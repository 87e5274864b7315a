"""A Debian package that a host must have."""

from __future__ import annotations

from dataclasses import dataclass


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
