"""Answer `fortyninety fit` for the hosts of an inventory.

Only for a command to import when it runs: pyinfra changes the standard library as it is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pyinfra.api.host import Host
from pyinfra.context import ctx_config, ctx_host, ctx_state

from fortyninety.fit.alternatives import alternatives
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import estimate
from fortyninety.fit.shape import make_shape
from fortyninety.fleet.inventory import ConnectedHosts, InventoryUnusable, connect_hosts
from fortyninety.model.questions import token_of, token_problems
from fortyninety.model.sizes import checkpoint_sizes, known_checkpoints
from fortyninety.plan.fit import HostFit, host_box, settings_flags
from fortyninety.plan.plan import survey_request
from fortyninety.plan.preflight import settings_problems
from fortyninety.releases.release import load_release
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from fortyninety.settings.profiles import PROFILES
from fortyninety.survey.latest import take_reading
from fortyninety.survey.reading import HostReading

FLAGS = (
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "kv_cache_dtype",
    "gpu_memory_utilization",
)


def fleet_fit(inventory: str, limit: Iterable[str], options: Mapping[str, Any]) -> list[HostFit]:
    """The answer for each host, with its own settings and what `options` give in their place.

    A host that does not answer is computed from its settings. Raises FitError, with every problem.
    """
    try:
        hosts = connect_hosts(inventory, limit)
    except InventoryUnusable as error:
        raise FitError(str(error)) from error
    try:
        settings = _every_setting(hosts)
        states = {host: _reading(hosts, host, each) for host, each in settings.items()}
        return [_answer(hosts, host, settings, states, options) for host in settings]
    finally:
        hosts.disconnect()


def _every_setting(hosts: ConnectedHosts) -> dict[Host, Settings]:
    """Of the hosts that were not reached as well."""
    settings: dict[Host, Settings] = {}
    problems = []
    for host in hosts.state.inventory:
        if not hosts.state.is_host_in_limit(host):
            continue
        parsed = parse_settings(host.name, host.data.dict())  # type: ignore[no-untyped-call]
        if isinstance(parsed, list):
            problems += parsed
            continue
        problems += settings_problems(host.name, parsed)
        problems += token_problems(host.name, parsed)
        settings[host] = parsed
    if problems:
        raise FitError("; ".join(str(problem) for problem in problems))
    return settings


def _answer(
    hosts: ConnectedHosts,
    host: Host,
    every: Mapping[Host, Settings],
    states: Mapping[Host, HostReading],
    options: Mapping[str, Any],
) -> HostFit:
    settings = every[host]
    box, remarks = host_box(host.name, settings, states[host])
    boxes = [box]
    for other in hosts.state.inventory:
        if other is not host and settings.cell and other.data.get("cell") == settings.cell:
            # A member that a limit leaves out counts as one like this.
            known = other in every
            boxes.append(host_box(other.name, every[other], states[other])[0] if known else box)
    flags = settings_flags(settings)
    if options["profile"] is not None:
        flags = replace(flags, **vars(PROFILES[options["profile"]]))
    given = {key: options[key] for key in FLAGS if options[key] is not None}
    flags = replace(flags, **given)
    if options["enforce_eager"]:
        flags = replace(flags, enforce_eager=True)
    own = None if settings.tensor_parallel_size == "all" else settings.tensor_parallel_size
    asked = options["tensor_parallel_size"]
    shape = make_shape(boxes, own if asked is None else asked, options["pipeline_parallel_size"])
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


def _reading(hosts: ConnectedHosts, host: Host, settings: Settings) -> HostReading:
    if host not in hosts.settings:
        return HostReading()
    request = survey_request(settings, load_release(settings.engine))
    with (
        ctx_state.use(hosts.state),
        ctx_config.use(hosts.state.config.copy()),
        ctx_host.use(host),
    ):
        return take_reading(host, request)
