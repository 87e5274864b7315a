"""Settings, first readings and plans of all hosts of one pyinfra run."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from gevent.event import AsyncResult
from pyinfra import logger
from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from fortyninety.cell.membership import Membership, cell_problems, membership, named_cell
from fortyninety.connection.bounded import bounded
from fortyninety.connection.host_keys import is_known, key_remedy
from fortyninety.deadlines import COMMAND
from fortyninety.engine.processor import processor_problems
from fortyninety.engine.quantization import quantization_problems
from fortyninety.facts.archives import RETRIES, TIMEOUT, UnreachableArchives
from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights
from fortyninety.fleet.refusal import Refused
from fortyninety.model.file_list import FileListUnknown, file_list, list_digest
from fortyninety.model.questions import (
    list_problems,
    room_problems,
    token_of,
    token_problems,
    with_commit,
)
from fortyninety.model.sizes import checkpoint_sizes, known_checkpoints
from fortyninety.on_host.checkpoint_files import File
from fortyninety.once import made_once
from fortyninety.plan.fit import Peer, fit_problems, predicted_kv_tokens
from fortyninety.plan.plan import Plan, make_plan, needed_archives, survey_request
from fortyninety.plan.preflight import host_problems, lease_problems, settings_problems
from fortyninety.problem import Problem
from fortyninety.releases.advisories import advisory_line
from fortyninety.releases.release import load_release
from fortyninety.settings.addresses import is_host_name
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.latest import current_reading, take_reading
from fortyninety.survey.reading import HostReading

Answer = TypeVar("Answer")

_runs: WeakKeyDictionary[State, AsyncResult] = WeakKeyDictionary()


def current_plan() -> Plan:
    """The plan of the host that pyinfra is loading the deploy for.

    The first caller reads every host of the run and checks them all; the others wait for it.
    Raises Refused, for every host alike, where any host of the run has a problem.
    """
    # Themselves, not pyinfra's stand-ins for whichever are at work.
    state: State = ctx_state.get()  # type: ignore[no-untyped-call]
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    return made_once(_runs, state, lambda: _plan_every_host(state))[host]


def forget_refusal(state: State) -> None:
    """Let `current_plan` plan the run anew, for the hosts that it has now."""
    _runs.pop(state, None)


def plans_of(state: State) -> dict[Host, Plan]:
    """The plans of all hosts of a run, once `current_plan` made them."""
    plans: dict[Host, Plan] = _runs[state].get()
    return plans


def current_readings(state: State, hosts: Iterable[Host]) -> dict[Host, HostReading]:
    """The latest reading of hosts of the run; those that are stale are read side by side."""
    return _on_each(state, hosts, current_reading)


def _plan_every_host(state: State) -> dict[Host, Plan]:
    wanted = [host for host in state.inventory if state.is_host_in_limit(host)]
    active = set(state.inventory.get_active_hosts())
    for host in active:
        bounded(host)
    problems = [_unreachable(host) for host in wanted if host not in active]
    settings: dict[Host, Settings] = {}
    for host in wanted:
        parsed = parse_settings(host.name, host_data(host))
        if isinstance(parsed, list):
            problems += [with_commit(problem, host_data(host)) for problem in parsed]
            continue
        found = [*settings_problems(host.name, parsed), *token_problems(host.name, parsed)]
        problems += found
        if not found:
            settings[host] = parsed
    cells, found_in_cells = _cells(state, {host.name for host in wanted})
    problems += found_in_cells
    readable = [host for host in wanted if host in settings and host in active]
    states = _read_hosts(state, {host: settings[host] for host in readable})
    files = {host: files_of(each) for host, each in settings.items()}
    for host, found_files in files.items():
        problems += list_problems(host.name, found_files)
    for host, reading in states.items():
        problems += host_problems(host.name, settings[host], reading, cells.get(host.name))
        problems += room_problems(host.name, reading, files[host])
        problems += _checkpoint_problems(host, settings[host], reading)
        peers = _peers(host, settings, states, cells)
        problems += _fit_problems(host, settings[host], reading, peers)
    problems += _under_change(states, problems)
    if problems:
        raise Refused(_in_order(problems, list(state.inventory)))
    plans = {
        host: replace(
            make_plan(
                settings[host],
                load_release(settings[host].engine),
                reading,
                cells.get(host.name),
            ),
            kv_tokens=_kv_tokens(settings[host], reading, _peers(host, settings, states, cells)),
            snapshot_manifest=list_digest(known_files(files[host])),
        )
        for host, reading in states.items()
    }
    if problems := _archive_problems(state, plans, states):
        raise Refused(_in_order(problems, wanted))
    for host, plan in plans.items():
        if (line := advisory_line(plan.release)) is not None:
            logger.warning(f"{host.print_prefix}{line}")
    return plans


def _under_change(states: dict[Host, HostReading], problems: list[Problem]) -> list[Problem]:
    """Who changes hosts just now: a further reason where one has a problem, which may come of that.

    Elsewhere it is only said: nobody is kept from looking, and a deploy is refused its leases.
    """
    named = {problem.host for problem in problems}
    found = []
    for host, reading in states.items():
        for problem in lease_problems(host.name, reading):
            if host.name in named:
                found.append(problem)
            else:
                logger.warning(f"{host.print_prefix}{problem}")
    return found


def _peers(
    host: Host,
    settings: dict[Host, Settings],
    states: dict[Host, HostReading],
    cells: dict[str, Membership],
) -> tuple[Peer, ...]:
    """The other members of the host's cell: as they were read, or as this one, where a limit leaves
    them out of the run."""
    if host.name not in cells:
        return ()
    cell = settings[host].cell
    read = [
        Peer(each.name, state)
        for each, state in states.items()
        if each is not host and settings[each].cell == cell
    ]
    missing = len(cells[host.name].addresses) - 1 - len(read)
    return (*read, *(Peer(host.name, states[host]),) * missing)


def _fit_problems(
    host: Host, settings: Settings, reading: HostReading, peers: tuple[Peer, ...]
) -> list[Problem]:
    """Why the model does not fit the cards; only said, where the settings say "warn"."""
    release = load_release(settings.engine)
    if (
        not reading.readable
        or not (reading.cards.gpus or reading.cards.devices)
        or release.device == "cpu"
    ):
        return []
    found = fit_problems(
        host.name,
        settings,
        release,
        reading,
        checkpoint_of(settings),
        peers=peers,
        others=known_checkpoints(),
    )
    if settings.fit == "refuse":
        return found
    for problem in found:
        logger.warning(f"{host.print_prefix}{problem}\n{problem.table}")
    return []


def _checkpoint_problems(host: Host, settings: Settings, reading: HostReading) -> list[Problem]:
    """What the settings ask for and the checkpoint, or the processor with it, has not."""
    if not reading.readable:
        return []
    release = load_release(settings.engine)
    weights = _known_checkpoint(settings, reading)
    return [
        *quantization_problems(host.name, settings, weights),
        *processor_problems(host.name, settings, release, reading, weights),
    ]


def _kv_tokens(settings: Settings, reading: HostReading, peers: tuple[Peer, ...]) -> int | None:
    weights = _known_checkpoint(settings, reading)
    if isinstance(weights, FitError):
        return None
    try:
        release = load_release(settings.engine)
        return predicted_kv_tokens(settings, release, reading, weights, peers=peers)
    except FitError:
        return None


def _known_checkpoint(settings: Settings, reading: HostReading) -> Weights | FitError:
    """The checkpoint's sizes; where the host has its snapshot already, no hub is asked for them."""
    return checkpoint_of(settings, ask=reading.snapshot.condition != "whole")


def checkpoint_of(settings: Settings, *, ask: bool = True) -> Weights | FitError:
    """What the settings' checkpoint weighs, or why that cannot be known without the hub (`ask`)."""
    return _checkpoint(
        settings.model_repository,
        settings.model_revision,
        settings.hub_endpoint,
        token_of(settings) if ask else None,
        ask,
    )


@cache
def _checkpoint(
    repository: str, revision: str, endpoint: str | None, token: str | None, ask: bool
) -> Weights | FitError:
    """Once for all hosts: a hub that does not answer is waited for once."""
    try:
        return checkpoint_sizes(repository, revision, endpoint, token, ask=ask)
    except FitError as error:
        return error


def files_of(settings: Settings) -> tuple[File, ...] | FileListUnknown:
    """The files of the settings' checkpoint, or why they are not known: the same all run long."""
    return _list_of_files(
        settings.model_repository,
        settings.model_revision,
        settings.hub_endpoint,
        token_of(settings),
    )


@cache
def _list_of_files(
    repository: str, revision: str, endpoint: str | None, token: str | None
) -> tuple[File, ...] | FileListUnknown:
    """Once for all hosts, as the sizes."""
    try:
        return file_list(repository, revision, endpoint, token)
    except FileListUnknown as unknown:
        return unknown


def known_files(files: tuple[File, ...] | FileListUnknown) -> tuple[File, ...]:
    """The list. Raises FileListUnknown; a run with a host that has none was refused before."""
    if isinstance(files, FileListUnknown):
        raise files
    return files


def _cells(state: State, wanted: set[str]) -> tuple[dict[str, Membership], list[Problem]]:
    """The place in its cell of each wanted host that has one, and what is wrong with those cells.

    A cell is made of the whole inventory, also where a limit leaves a member of it out of the run.
    """
    data = {host.name: host_data(host) for host in state.inventory}
    theirs = {named_cell(each) for name, each in data.items() if name in wanted} - {None}
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for name, each in data.items():
        if named_cell(each) not in theirs:
            continue
        parsed = parse_settings(name, each)
        if isinstance(parsed, Settings):
            settings[name] = parsed
        elif name not in wanted:  # Of those in the run they are known.
            problems += parsed
    addresses = {
        name: _ipv4_address(settings[name].cell_address or data[name].get("ssh_hostname") or name)
        for name in settings
    }
    problems += cell_problems(settings, addresses)
    if problems:
        return {}, problems
    known = {name: address for name, address in addresses.items() if address is not None}
    places = {name: membership(name, settings, known) for name in settings if name in wanted}
    return {name: place for name, place in places.items() if place is not None}, []


def _ipv4_address(name: Any) -> str | None:
    """The IPv4 address that a name or an address means here, or None."""
    # A host's name and ssh_hostname are pyinfra's, and not parsed with the settings.
    if not isinstance(name, str) or not is_host_name(name):
        return None
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0])
    except (OSError, UnicodeError):
        return None


def _archive_problems(
    state: State, plans: dict[Host, Plan], states: dict[Host, HostReading]
) -> list[Problem]:
    """A problem for each archive that a host must fetch from and that does not answer it."""
    needed = {host: needed_archives(plan, states[host]) for host, plan in plans.items()}

    def ask(host: Host) -> dict[str, str]:
        found: dict[str, str] = get_fact(
            state,
            host,
            UnreachableArchives,
            kwargs={
                "archives": needed[host],
                "_timeout": COMMAND + len(needed[host]) * TIMEOUT * (RETRIES + 1),
            },
            apply_failed_hosts=False,
        )
        return found

    asked = [host for host in needed if needed[host]]
    return [
        Problem(
            host=host.name,
            subject=f"archive {archive}",
            found=f"out of reach ({reason})",
            expected="an answer: packages are missing on the host",
            remedy="Check the host's network, its apt proxy and /etc/apt",
        )
        for host, unreachable in _on_each(state, asked, ask).items()
        for archive, reason in unreachable.items()
    ]


def _on_each(
    state: State, hosts: Iterable[Host], function: Callable[[Host], Answer]
) -> dict[Host, Answer]:
    """What the function answers for each host, asked side by side."""

    def one(host: Host) -> Answer:
        with ctx_state.use(state), ctx_config.use(state.config.copy()), ctx_host.use(host):
            return function(host)

    greenlets = {host: state.fact_pool.spawn(one, host) for host in hosts}
    return {host: greenlet.get() for host, greenlet in greenlets.items()}


def _read_hosts(state: State, settings: dict[Host, Settings]) -> dict[Host, HostReading]:
    def read(host: Host) -> HostReading:
        release = load_release(settings[host].engine)
        return take_reading(host, survey_request(settings[host], release))

    return _on_each(state, settings, read)


def host_data(host: Host) -> dict[str, Any]:
    """The data of a host as pyinfra merged it from its groups, its own and the command line's."""
    data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return data


def _unreachable(host: Host) -> Problem:
    address = str(host.data.get("ssh_hostname") or host.name)
    port, file = host.data.get("ssh_port"), host.data.get("ssh_known_hosts_file")
    remedy = f"Try `ssh {shlex.quote(address)}`"
    if not is_known(address, port, file):
        remedy = f"Its key is not in known_hosts. {key_remedy(address, port, file)}"
    return Problem(
        host=host.name,
        subject="connection",
        found=f"refused or unanswered at {address}",
        expected="SSH as root, or as a user with _sudo",
        remedy=f"{remedy}. To go on without this host: --exclude {host.name}",
    )


def _in_order(problems: list[Problem], hosts: list[Host]) -> list[Problem]:
    order = {host.name: index for index, host in enumerate(hosts)}
    return sorted(problems, key=lambda problem: order[problem.host])
