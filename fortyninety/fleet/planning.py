"""Plan every host of a run, or say every reason against it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pyinfra import logger
from pyinfra.api.facts import get_fact
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_host, ctx_state

from fortyninety.cell.membership import Membership
from fortyninety.connection.bounded import bounded
from fortyninety.connection.diagnosis import diagnose
from fortyninety.connection.way import Way
from fortyninety.deadlines import COMMAND
from fortyninety.engine.processor import processor_problems
from fortyninety.engine.quantization import quantization_problems
from fortyninety.facts.archives import RETRIES, TIMEOUT, UnreachableArchives
from fortyninety.firewall.questions import others_in_words
from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights
from fortyninety.fleet.cells import cells_of
from fortyninety.fleet.checkpoints import checkpoint_of, files_of, known_files
from fortyninety.fleet.fronts import fronts_of
from fortyninety.fleet.gateway import LetIn, secrets_of
from fortyninety.fleet.monitors import watches_of
from fortyninety.fleet.peers import peers_of
from fortyninety.fleet.virtual_addresses import neighbourhood, places_of, shared_of
from fortyninety.gateway.shared_address import Place as SharedPlace
from fortyninety.model.file_list import list_digest
from fortyninety.model.questions import (
    list_problems,
    room_problems,
    token_problems,
    with_commit,
)
from fortyninety.model.sizes import known_checkpoints
from fortyninety.plan.fit import Peer, fit_problems, predicted_kv_tokens
from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.plan import Plan, make_plan, needed_archives, sharing, watching
from fortyninety.plan.preflight import host_problems, lease_problems, settings_problems
from fortyninety.plan.survey_request import survey_request
from fortyninety.plan.virtual_address import Shared
from fortyninety.problem import Problem
from fortyninety.releases.advisories import advisory_line
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.latest import take_reading
from fortyninety.survey.reading import HostReading

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Planned:
    """The plans of all hosts of a run, or what is wrong with them, in the inventory's order."""

    plans: dict[Host, Plan] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def plan_hosts(state: State) -> Planned:
    """Read every host of the run and plan it.

    A deploy refuses all of them for one problem, and drift goes on with those that have none.
    """
    wanted = wanted_hosts(state)
    active = set(state.inventory.get_active_hosts())
    for host in active:
        bounded(host)
    settings, found = parse_hosts(wanted)
    # Nobody connected to a host whose settings say nothing.
    lost = [host for host in settings if host not in active]
    problems = list(on_each(state, lost, _unreachable).values())
    data = {host.name: host_data(host) for host in state.inventory}
    problems += [with_commit(problem, data[problem.host]) for problem in found]
    cells, found = cells_of(data, {host.name for host in wanted})
    problems += found
    fronts, found = fronts_of(data, {host.name for host in wanted})
    problems += found
    places, found = places_of(data, {host.name for host in wanted})
    problems += found
    let_in, found = secrets_of(state, settings, cells, fronts)
    problems += found
    watches, found = watches_of(state, settings)
    problems += found
    reached = {host: settings[host] for host in settings if host in active}
    readings = read_hosts(state, reached, fronts)
    problems += _host_problems(settings, readings, cells, fronts)
    shared, found = _shared(state, readings, places)
    problems += found
    problems += _under_change(readings, problems)
    if problems:
        return Planned(problems=_in_order(problems, state))
    peers = peers_of(data, {host.name for host in readings})
    plans = _make_plans(settings, readings, cells, fronts, let_in, peers=peers)
    plans = {
        host: watching(sharing(plan, shared.get(host)), watches.get(host))
        for host, plan in plans.items()
    }
    if problems := _archive_problems(state, plans, readings):
        return Planned(problems=_in_order(problems, state))
    for host, plan in plans.items():
        if plan.has_engine and (line := advisory_line(plan.release)) is not None:
            logger.warning(f"{host.print_prefix}{line}")
        if plan.firewall is not None and (line := others_in_words(readings[host])) is not None:
            logger.warning(f"{host.print_prefix}{line}")
    return Planned(plans)


def wanted_hosts(state: State) -> list[Host]:
    """The hosts of the run, reached or not."""
    return [host for host in state.inventory if state.is_host_in_limit(host)]


def parse_hosts(hosts: Iterable[Host]) -> tuple[dict[Host, Settings], list[Problem]]:
    """The settings of the hosts whose data are valid, and what is wrong with the others."""
    settings: dict[Host, Settings] = {}
    problems: list[Problem] = []
    for host in hosts:
        parsed = parse_settings(host.name, host_data(host))
        if isinstance(parsed, list):
            problems += parsed
            continue
        found = list(settings_problems(host.name, parsed))
        if parsed.has_engine:
            found += token_problems(host.name, parsed)
        problems += found
        if not found:
            settings[host] = parsed
    return settings, problems


def read_hosts(
    state: State, settings: dict[Host, Settings], places: Mapping[str, Place] | None = None
) -> dict[Host, HostReading]:
    """A reading of each of these hosts, taken side by side."""

    def read(host: Host) -> HostReading:
        release = load_release(settings[host].engine)
        place = (places or {}).get(host.name, ALONE)
        return take_reading(host, survey_request(settings[host], release, place))

    return on_each(state, settings, read)


def on_each(
    state: State, hosts: Iterable[Host], function: Callable[[Host], Answer]
) -> dict[Host, Answer]:
    """What the function answers for each host, asked side by side."""

    def one(host: Host) -> Answer:
        with ctx_state.use(state), ctx_config.use(state.config.copy()), ctx_host.use(host):
            return function(host)

    greenlets = {host: state.fact_pool.spawn(one, host) for host in hosts}
    return {host: greenlet.get() for host, greenlet in greenlets.items()}


def host_data(host: Host) -> dict[str, Any]:
    """The data of a host as pyinfra merged it from its groups, its own and the command line's."""
    data: dict[str, Any] = host.data.dict()  # type: ignore[no-untyped-call]
    return data


def _host_problems(
    settings: dict[Host, Settings],
    readings: dict[Host, HostReading],
    cells: dict[str, Membership],
    places: Mapping[str, Place],
) -> list[Problem]:
    """What is wrong with the hosts as they were read, and with their checkpoints."""
    problems: list[Problem] = []
    files = {host: files_of(each) for host, each in settings.items() if each.has_engine}
    for host, found_files in files.items():
        problems += list_problems(host.name, found_files)
    for host, reading in readings.items():
        cell, place = cells.get(host.name), places.get(host.name, ALONE)
        problems += host_problems(host.name, settings[host], reading, cell, place)
        if host not in files:
            continue
        problems += room_problems(host.name, reading, files[host])
        problems += _checkpoint_problems(host, settings[host], reading)
        peers = _peers(host, settings, readings, cells)
        problems += _fit_problems(host, settings[host], reading, peers)
    return problems


def _make_plans(
    settings: dict[Host, Settings],
    readings: dict[Host, HostReading],
    cells: dict[str, Membership],
    places: Mapping[str, Place],
    let_in: LetIn,
    *,
    peers: Mapping[str, tuple[str, ...]],
) -> dict[Host, Plan]:
    plans = {}
    for host, reading in readings.items():
        own = settings[host]
        release = load_release(own.engine)
        plan = make_plan(
            own,
            release,
            reading,
            cells.get(host.name),
            let_in.gateways.get(host),
            front_secrets=let_in.fronts.get(host),
            place=places.get(host.name, ALONE),
            peers=peers.get(host.name, ()),
        )
        if own.has_engine:
            members = _peers(host, settings, readings, cells)
            plan = replace(
                plan,
                kv_tokens=_kv_tokens(own, reading, members),
                snapshot_manifest=list_digest(known_files(files_of(own))),
            )
        plans[host] = plan
    return plans


def _shared(
    state: State, readings: dict[Host, HostReading], places: dict[str, SharedPlace]
) -> tuple[dict[Host, Shared], list[Problem]]:
    """How hosts share addresses, each asked what is around it, and what keeps them from that."""
    asked = [host for host in readings if host.name in places and readings[host].readable]
    said = on_each(state, asked, lambda host: neighbourhood(state, host, places[host.name]))
    found: dict[Host, Shared] = {}
    problems: list[Problem] = []
    for host, lines in said.items():
        shared, wrong = shared_of(host, places[host.name], readings[host], lines)
        problems += wrong
        if shared is not None:
            found[host] = shared
    return found, problems


def _under_change(readings: dict[Host, HostReading], problems: list[Problem]) -> list[Problem]:
    """Who changes hosts just now: a further reason where one has a problem, which may come of that.

    Elsewhere it is only said: nobody is kept from looking, and a deploy is refused its leases.
    """
    named = {problem.host for problem in problems}
    found = []
    for host, reading in readings.items():
        for problem in lease_problems(host.name, reading):
            if host.name in named:
                found.append(problem)
            else:
                logger.warning(f"{host.print_prefix}{problem}")
    return found


def _peers(
    host: Host,
    settings: dict[Host, Settings],
    readings: dict[Host, HostReading],
    cells: dict[str, Membership],
) -> tuple[Peer, ...]:
    """The other members of the host's cell: as they were read, or as this one, where a limit leaves
    them out of the run."""
    if host.name not in cells:
        return ()
    cell = settings[host].cell
    read = [
        Peer(each.name, reading)
        for each, reading in readings.items()
        if each is not host and settings[each].cell == cell
    ]
    missing = len(cells[host.name].addresses) - 1 - len(read)
    return (*read, *(Peer(host.name, readings[host]),) * missing)


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
        others=known_checkpoints,
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


def _archive_problems(
    state: State, plans: dict[Host, Plan], readings: dict[Host, HostReading]
) -> list[Problem]:
    """A problem for each archive that a host must fetch from and that does not answer it."""
    needed = {host: needed_archives(plan, readings[host]) for host, plan in plans.items()}

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
        for host, unreachable in on_each(state, asked, ask).items()
        for archive, reason in unreachable.items()
    ]


def _unreachable(host: Host) -> Problem:
    way = Way.of(host.name, host_data(host))
    return diagnose(way, bounded(host).failure).problem(
        host.name, f"To go on without this host: --exclude {shlex.quote(host.name)}"
    )


def _in_order(problems: list[Problem], state: State) -> tuple[Problem, ...]:
    order = {host.name: index for index, host in enumerate(state.inventory)}
    return tuple(sorted(problems, key=lambda problem: order[problem.host]))
