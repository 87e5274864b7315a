"""Find the host of an inventory whose engine answers requests.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pyinfra.api.host import Host

from fortyninety.cell.membership import named_cell
from fortyninety.connection.bounded import HostLost, bounded
from fortyninety.connection.tunnel import NotForwarded, open_tunnel
from fortyninety.engine.bounded_http import Unanswered
from fortyninety.engine.streamed_chat import served_models
from fortyninety.fleet.inventory import ConnectedHosts
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings

EXPECTED = "an engine that serves"


@dataclass(frozen=True)
class Serving:
    """A host whose engine serves what its settings say."""

    host: Host
    settings: Settings

    @property
    def reached(self) -> bool:
        """Whether the connection to the host stands."""
        transport = bounded(self.host).transport
        return transport is not None and bool(transport.is_active())

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """A connection of its own to the engine. Raises NotForwarded and HostLost."""
        channel = open_tunnel(self.host, self.settings.port)
        try:
            yield channel
        finally:
            channel.close()


@dataclass(frozen=True)
class NoneServes(Exception):
    """Why no host answers; `unreachable` where one of them could not be asked at all."""

    problems: tuple[Problem, ...]
    unreachable: bool


def first_serving(hosts: ConnectedHosts) -> Serving:
    """The first host, in the inventory's order, whose engine serves. Raises NoneServes.

    Of a cell the head alone is asked.
    """
    problems, unreachable = list(hosts.problems), bool(hosts.problems)
    heads = _heads(hosts)
    for host in hosts.state.inventory:
        if host not in hosts.settings or not hosts.settings[host].has_engine:
            continue
        serving = Serving(host, hosts.settings[host])
        cell = serving.settings.cell
        if cell is not None and (head := heads[cell]) != host.name:
            problems.append(_no_head(host.name, cell, head))
            continue
        try:
            with serving.stream() as stream:
                names = served_models(stream, serving.settings.port)
        except (HostLost, NotForwarded, Unanswered) as none:
            unreachable = unreachable or not serving.reached
            problems.append(unanswered_problem(serving, none))
        else:
            if serving.settings.model_name in names:
                return serving
            other = f"serving {', '.join(names[:5]) or 'no model'}"
            problems.append(engine_problem(serving, other, serving.settings.model_name))
    if not problems:
        problems.append(_no_engine(hosts))
    raise NoneServes(tuple(problems), unreachable)


def engine_problem(serving: Serving, found: str, expected: str = EXPECTED) -> Problem:
    """A problem with the engine of a host."""
    return Problem(host=serving.host.name, subject="the engine", found=found, expected=expected)


def unanswered_problem(serving: Serving, why: Exception, expected: str = EXPECTED) -> Problem:
    """The problem that HostLost, NotForwarded or Unanswered says."""
    if isinstance(why, HostLost):
        host = serving.host.name
        return Problem(host=host, subject="connection", found=f"lost: {why}", expected=expected)
    return engine_problem(serving, str(why), expected)


def _heads(hosts: ConnectedHosts) -> dict[str, str]:
    """The head of each cell: the first of its members in the inventory, reached or not."""
    heads: dict[str, str] = {}
    for host in hosts.state.inventory:
        cell = named_cell(host.data.dict())  # type: ignore[no-untyped-call]
        if cell is not None:
            heads.setdefault(cell, host.name)
    return heads


def _no_engine(hosts: ConnectedHosts) -> Problem:
    return Problem(
        host=", ".join(host.name for host in hosts.settings),
        subject="roles",
        found="without 'engine'",
        expected="a host whose engine answers",
    )


def _no_head(host: str, cell: str, head: str) -> Problem:
    return Problem(
        host=host,
        subject="cell",
        found=f"{cell!r}, whose head is {head}",
        expected="a host that answers requests",
        remedy=f"Ask {head}",
    )
