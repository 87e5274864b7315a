"""Select the hosts that a command's `--limit` names. Imports nothing of pyinfra."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatch
from typing import Protocol, TypeVar


class Named(Protocol):
    """A host as the limit sees it."""

    @property
    def name(self) -> str:
        """What the inventory calls it."""

    @property
    def groups(self) -> Collection[str]:
        """The groups of the inventory that it is in."""


H = TypeVar("H", bound=Named)


class MatchesNothing(ValueError):
    """A limit that no host answers to: a mistyped name must not pass for a host that is right."""

    def __init__(self, pattern: str, hosts: Iterable[Named]) -> None:
        names = ", ".join(host.name for host in hosts)
        super().__init__(f"no host matches --limit {pattern}; there are {names}")


def limited(hosts: Sequence[H], limit: Iterable[str]) -> list[H]:
    """The hosts that a pattern of `limit` names, by group or by name, in the inventory's order.

    All of them without a limit. Raises MatchesNothing for the first pattern that names none.
    """
    patterns = list(limit)
    for pattern in patterns:
        if not any(_matches(host, pattern) for host in hosts):
            raise MatchesNothing(pattern, hosts)
    return [
        host
        for host in hosts
        if not patterns or any(_matches(host, pattern) for pattern in patterns)
    ]


def _matches(host: Named, pattern: str) -> bool:
    return pattern in host.groups or fnmatch(host.name, pattern)
