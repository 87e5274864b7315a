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

    def __init__(self, pattern: str, hosts: Iterable[Named], option: str = "--limit") -> None:
        names = ", ".join(host.name for host in hosts)
        super().__init__(f"no host matches {option} {pattern}; there are {names}")


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


def without(everyone: Sequence[H], hosts: Sequence[H], exclude: Iterable[str]) -> list[H]:
    """Those of `hosts` that no pattern of `exclude` names, by group or by name.

    Raises MatchesNothing for a pattern that names nobody of `everyone`.
    """
    left = list(hosts)
    for pattern in exclude:
        if not any(_matches(host, pattern) for host in everyone):
            raise MatchesNothing(pattern, everyone, "--exclude")
        left = [host for host in left if not _matches(host, pattern)]
    return left


def _matches(host: Named, pattern: str) -> bool:
    return pattern in host.groups or fnmatch(host.name, pattern)
