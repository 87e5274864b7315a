"""Plan how an engine keeps its tenants apart, and say where none can."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Set

from fortyninety.cell.membership import Membership
from fortyninety.on_host.tenants.credential import CREDENTIAL, PATHS
from fortyninety.plan.paths import TENANT_SECRET, Paths
from fortyninety.plan.programs import TENANTS, importable
from fortyninety.problem import Problem
from fortyninety.releases.release import Release, known_releases, load_release
from fortyninety.settings.model import Settings

# What the engine imports, from the archive on its PYTHONPATH.
MIDDLEWARE = "fortyninety.on_host.tenants.engine.Tenants"
# Has the unit differ, and so the engine start anew, where the archive does.
PROGRAM = "FORTYNINETY_TENANTS"
MOST_NAMED = 5


def keeps_apart(
    settings: Settings, release: Release, cell: Membership | None, *, fronted: bool = False
) -> bool:
    """Whether the engine of a host sets salts: where a gateway names tenants and it has them.

    Where fronts let people in these name them.
    """
    answers = cell is None or cell.is_head
    wanted = (settings.gateway or fronted) and settings.tenant_isolation
    return wanted and answers and release.cache_salt is not None


def tenant_arguments(release: Release) -> list[str]:
    """What the engine's command line has for it."""
    return [] if release.cache_salt is None else [release.cache_salt.flag, MIDDLEWARE]


def tenant_environment(release: Release, paths: Paths) -> dict[str, str]:
    """What the engine's environment has for it."""
    salted = () if release.cache_salt is None else release.cache_salt.paths
    return {
        "PYTHONPATH": paths.tenants,
        PATHS: ":".join(salted),
        PROGRAM: hashlib.sha256(importable(TENANTS)).hexdigest()[:16],
    }


def tenant_credential() -> str:
    """What the unit is handed as it starts, by its name and where it is kept."""
    return f"{CREDENTIAL}:{TENANT_SECRET}"


def tenant_problems(
    host: str, settings: Settings, release: Release, tenants: Set[str], *, fronted: bool = False
) -> Iterator[Problem]:
    """Why these tenants cannot be let in together: one would learn another's prompts."""
    lets_in = settings.gateway or fronted
    if (
        not (lets_in and settings.tenant_isolation and settings.enable_prefix_caching)
        or release.cache_salt is not None
        or len(tenants) < 2
    ):
        return
    named = sorted(tenants)
    names = ", ".join(named[:MOST_NAMED]) + (", ..." if len(named) > MOST_NAMED else "")
    able = [
        each
        for each in known_releases()
        if load_release(each).cache_salt is not None and load_release(each).device == release.device
    ]
    yield Problem(
        host=host,
        subject="tenants",
        found=f"{len(named)} ({names})",
        expected=(
            f"one: engine {release.release} keeps no salts, so that cache hits tell one tenant "
            "what another asked"
        ),
        remedy=(
            "Set enable_prefix_caching = False, revoke the keys of all tenants but one, or choose "
            f"another engine ({', '.join(able)}); tenant_isolation = False lets them share"
        ),
    )
