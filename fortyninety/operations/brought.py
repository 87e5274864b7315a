"""Note on the host what a deploy brings that was not there before, for a reset to take it away.

A line a thing, "package gcc", written before the thing is brought: what a cut leaves out is then a
line too many, and never one too few.
"""

from __future__ import annotations

import shlex
from typing import Literal

from fortyninety.plan.paths import BROUGHT, ROOT_CACHE

What = Literal["package", "hold", "account", "cache"]

# What fetches Python packages, each with a folder in root's cache.
FETCHERS = ("pip", "uv")


def noting(what: What, names: str) -> str:
    """A shell command that notes `names`, words of the shell (quoted); none is nothing to note."""
    folder = BROUGHT.rpartition("/")[0]
    return (
        f"( set -- {names}; [ $# = 0 ] || {{ umask 022; mkdir -p {folder} && "
        f"printf '{what} %s\\n' \"$@\" >>{BROUGHT} && sync {BROUGHT}; }} )"
    )


def noting_new_caches() -> str:
    """The same for those of FETCHERS that have no cache yet."""
    fetchers = (f'[ -e {ROOT_CACHE}/{name} ] || new="$new {name}"' for name in FETCHERS)
    return "\n".join(("new=", *fetchers, noting("cache", "$new")))


def noting_names(what: What, *names: str) -> str:
    """The same for names that the controller knows."""
    return noting(what, shlex.join(names))
