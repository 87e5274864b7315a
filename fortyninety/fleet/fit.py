"""Answer `fortyninety fit` for the hosts of an inventory.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyinfra.api.host import Host

from fortyninety.fit.alternatives import alternatives
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import estimate
from fortyninety.fit.shape import make_shape, one_stage_a_box
from fortyninety.fleet.inventory import ConnectedHosts, InventoryUnusable, connect_hosts
from fortyninety.fleet.planning import parse_hosts, read_hosts, wanted_hosts
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.root import leave_without_root
from fortyninety.model.questions import token_of
from fortyninety.model.sizes import checkpoint_sizes, known_checkpoints
from fortyninety.plan.fit import HostFit, host_box, settings_flags
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.settings.profiles import PROFILES
from fortyninety.survey.reading import HostReading

FLAGS = (
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_dtype",
    "gpu_memory_utilization",
)


@dataclass(frozen=True)
class FleetFit:
    """The answer of each host that has one, and why the others have none."""

    answers: tuple[HostFit, ...]
    problems: tuple[Problem, ...]


def fleet_fit(inventory: str, limit: Iterable[str], options: Mapping[str, Any]) -> FleetFit:
    """The answer for each host, with its own settings and what `options` give in their place.

    One without an engine has none. A host that does not answer is computed from its settings, and
    one that nothing can be computed for hides none of the others. Raises FitError where there is no
    host to ask about.
    """
    try:
        with errors_alone():
            hosts = connect_hosts(inventory, limit)
    except InventoryUnusable as error:
        raise FitError(str(error)) from error
    try:
        # Of the hosts that were not reached as well.
        parsed, problems = parse_hosts(wanted_hosts(hosts.state))
        settings = {host: each for host, each in parsed.items() if each.has_engine}
        unread = {host: HostReading() for host in settings} | _without_root(hosts)
        reached = {host: each for host, each in settings.items() if host in hosts.settings}
        readings = unread | read_hosts(hosts.state, reached)
        answers = []
        for host in settings:
            try:
                answers.append(_answer(hosts, host, settings, readings, options))
            except FitError as error:
                found = f"not computable ({error})"
                problems.append(
                    Problem(host=host.name, subject="fit", found=found, expected="an answer")
                )
        return FleetFit(tuple(answers), tuple(problems))
    finally:
        hosts.disconnect()


def _without_root(hosts: ConnectedHosts) -> dict[Host, HostReading]:
    """Why those of the hosts were not read at which a reading would wait for a password."""
    connected = dict(hosts.settings)
    why = {
        problem.host: HostReading(unreadable=f"{problem.subject}: {problem.found}")
        for problem in leave_without_root(hosts)
    }
    return {host: why[host.name] for host in connected if host.name in why}


def _answer(
    hosts: ConnectedHosts,
    host: Host,
    every: Mapping[Host, Settings],
    readings: Mapping[Host, HostReading],
    options: Mapping[str, Any],
) -> HostFit:
    settings = every[host]
    box, remarks = host_box(host.name, settings, readings[host])
    boxes = [box]
    for other in hosts.state.inventory:
        if other is not host and settings.cell and other.data.get("cell") == settings.cell:
            # A member that a limit leaves out counts as one like this.
            known = other in every
            boxes.append(host_box(other.name, every[other], readings[other])[0] if known else box)
    flags = settings_flags(settings)
    if options["profile"] is not None:
        flags = replace(flags, **vars(PROFILES[options["profile"]]))
    given = {key: options[key] for key in FLAGS if options[key] is not None}
    flags = replace(flags, **given)
    if options["enforce_eager"]:
        flags = replace(flags, enforce_eager=True)
    own = None if settings.tensor_parallel_size == "all" else settings.tensor_parallel_size
    asked = options["tensor_parallel_size"]
    size = own if asked is None else asked
    shape = one_stage_a_box(make_shape(boxes, size, options["pipeline_parallel_size"]))
    weights = checkpoint_sizes(
        settings.model_repository,
        settings.model_revision,
        settings.hub_endpoint,
        token_of(settings),
    )
    release = options["engine"]
    if release is None:
        release = load_release(settings.engine).version
    answer = estimate(weights, shape, release, flags)
    return HostFit(host.name, answer, alternatives(answer, known_checkpoints()), remarks)
