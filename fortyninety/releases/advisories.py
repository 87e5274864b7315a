"""List the advisories against an engine release, and the release that mends most of them."""

from __future__ import annotations

from dataclasses import dataclass

from fortyninety.releases.release import Release, known_releases, load_release


@dataclass(frozen=True)
class Fix:
    """A release of engines/, and how many of another's open advisories it does not have."""

    release: str
    count: int


def fixed_by(release: Release) -> Fix | None:
    """The release that fixes most of the open advisories of `release`; None where none fixes any.

    Among the releases for the same kind of device. Where two fix equally many, the one that asks
    for the older driver.
    """
    fixes = []
    for name in known_releases():
        other = load_release(name)
        if other.device == release.device and name != release.release:
            open_there = {advisory.id for advisory in other.advisories}
            count = sum(advisory.id not in open_there for advisory in release.advisories)
            fixes.append((count, -(other.driver_floor or 0), name))
    best = max(fixes, default=(0, 0, ""))
    return Fix(best[2], best[0]) if best[0] else None


def advisory_line(release: Release) -> str | None:
    """One line for the operator of a host that serves with it; None where nothing is known."""
    count = len(release.advisories)
    if count == 0:
        return None
    fix = fixed_by(release)
    known = f"engine {release.release} has {count} known advisor{'y' if count == 1 else 'ies'}"
    if fix is None:
        return f"{known}; no release here fixes any: `fortyninety engine list --advisories`"
    needs = load_release(fix.release).driver_floor
    return (
        f"{known}; {fix.release} (driver {needs} or later) fixes {fix.count}: "
        "`fortyninety engine list --advisories`"
    )
