"""Collect what a report on hosts says: what they are, how they differ from the defaults, what fits.

Import it when a command runs, not before: pyinfra_cli patches the standard library.
"""

from __future__ import annotations

import getpass
import platform
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pyinfra.api.host import Host

from fortyninety.checkout import own_version
from fortyninety.fit.errors import FitError
from fortyninety.fleet.fit import fleet_fit
from fortyninety.fleet.inventory import connect_hosts
from fortyninety.fleet.planning import host_data, read_hosts
from fortyninety.fleet.quiet import errors_alone
from fortyninety.fleet.root import leave_without_root
from fortyninety.model.reader import known_repositories
from fortyninety.plan.fit import HostFit
from fortyninety.plan.paths import SERVICE
from fortyninety.problem import Problem
from fortyninety.settings.defaults import default_settings
from fortyninety.settings.model import Settings
from fortyninety.settings.named_models import named_models
from fortyninety.survey.reading import GpuState, HostReading
from fortyninety.text.redaction import Redactor

# Accounts that every machine has.
EVERYBODYS = ("root", "vllm", "debian", "ubuntu", "admin", "user")
# Settings of text whose values are this project's own words, or public.
PUBLIC_TEXTS = (
    *("engine", "profile", "kv_cache_dtype", "quantization", "fit", "listen_address", "model"),
    *("tensor_parallel_size", "python_source", "gpu_model", "driver_source", "driver_version"),
    *("driver_kernel_modules", "cuda_version", "attention_backend"),
)
SHORTEST_CELL = 4
PRIVATE_KEYS = (
    *("ssh_hostname", "ssh_user", "ssh_key", "ssh_config_file", "ssh_known_hosts_file"),
    *("cell", "cell_address", "peer_address", "hub_endpoint", "hub_token", "snapshot_source"),
    *("second_copy_directory", "wheel_directory", "package_index", "python_mirror"),
    *("nvidia_repository", "ssh_password", "ssh_key_password", "_sudo_password", "_sudo_user"),
    *("served_model_name", "service_user", "models_directory", "install_directory"),
    "gateway_certificate",
)


@dataclass(frozen=True)
class Reported:
    """The parts of a report, as they were found, and what takes the private out of them."""

    versions: tuple[str, ...]
    hosts: tuple[tuple[str, tuple[str, ...]], ...]
    problems: tuple[Problem, ...]
    redact: Redactor


def collect(inventory: str, limit: Iterable[str]) -> Reported:
    """Read the hosts of an inventory. Raises InventoryUnusable."""
    with errors_alone():
        return _collect(inventory, limit)


def _collect(inventory: str, limit: Iterable[str]) -> Reported:
    connected = connect_hosts(inventory, limit)
    try:
        state = connected.state
        data = {host.name: host_data(host) for host in state.inventory}
        leave_without_root(connected)
        readings = read_hosts(state, connected.settings)
        settings = dict(connected.settings)
        problems = tuple(connected.problems)
    finally:
        connected.disconnect()
    problems += tuple(
        _unreadable(host, each) for host, each in readings.items() if not each.readable
    )
    answers = _fits(inventory, limit)
    hosts = tuple(
        (host.name, tuple(_lines(host, settings[host], reading, answers.get(host.name))))
        for host, reading in readings.items()
        if reading.readable
    )
    return Reported(tuple(_versions()), hosts, problems, redactor(data))


def _unreadable(host: Host, reading: HostReading) -> Problem:
    return Problem(
        host=host.name,
        subject="survey",
        found=f"not readable ({reading.unreadable or 'it failed'})",
        expected="a reading",
    )


def redactor(data: Mapping[str, Mapping[str, Any]]) -> Redactor:
    """What takes out the names of the hosts, and whatever their data say that is nobody's business.

    `data` is that of every host of the inventory, also of those that are not reported on.
    """
    defaults = default_settings()
    names = {_own(getpass.getuser): "<user>", _own(socket.gethostname): "<controller>"}
    for number, (name, own) in enumerate(data.items(), start=1):
        for key in PRIVATE_KEYS:
            value = own.get(key)
            # A cell's short name would be every other word.
            if not isinstance(value, str) or value in (defaults.get(key), *EVERYBODYS):
                continue
            if key != "cell" or len(value) >= SHORTEST_CELL:
                names[value] = f"<{key}>"
        repository = own.get("model_repository")
        if isinstance(repository, str) and repository not in _public_repositories():
            names[repository] = "<model_repository>"
        names[name] = f"box-{number}"
    for each in EVERYBODYS:
        names.pop(each, None)
    public = [str(own.get("model_revision")) for own in data.values()]
    return Redactor(names, [*_public_repositories(), *public])


def _public_repositories() -> tuple[str, ...]:
    return (*known_repositories(), *(each.repository for each in named_models().values()))


def _own(ask: Any) -> str:
    """What the controller calls its user or itself; "" where it does not know."""
    try:
        return str(ask())
    except (KeyError, OSError):
        return ""


def _versions() -> Iterator[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyinfra", "paramiko", "pydantic"))
    yield f"fortyninety {own_version()}, {packages}"
    yield f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"


def _fits(inventory: str, limit: Iterable[str]) -> dict[str, HostFit]:
    try:
        found = fleet_fit(inventory, limit, defaultdict(lambda: None))
    except FitError:
        return {}
    return {answer.name: answer for answer in found.answers}


def _lines(
    host: Host, settings: Settings, reading: HostReading, answer: HostFit | None
) -> Iterator[str]:
    processor = reading.processor.name or "processor unknown"
    yield f"{reading.os.name}, {reading.os.machine}, {processor}"
    secure_boot = reading.kernels.secure_boot
    yield f"boots kernel {reading.kernels.next}; Secure Boot {secure_boot or 'off'}"
    yield f"driver {reading.loaded_driver or 'none in memory'}"
    yield from map(_card, reading.cards.gpus)
    if not reading.cards.gpus:
        cards = ", ".join(reading.cards.devices) or "none"
        yield f"cards on the bus: {cards}; the driver says: {reading.cards.error or 'nothing'}"
    free = reading.disk.free_bytes / 1e9
    drives = ", ".join(f"{name}{' (rotates)' * turns}" for name, turns in reading.disk.drives)
    filesystem = reading.disk.filesystem or "an unknown file system"
    yield f"models on {filesystem}, {drives or 'no drive known'}, {free:.0f} GB free"
    active = reading.unit(SERVICE, "ActiveState") or "not installed"
    yield f"{SERVICE}: {active}; snapshot {reading.snapshot.condition or 'not there'}"
    yield f"settings that differ from the defaults: {_differing(host_data(host))}"
    if answer is not None:
        yield _fit_line(answer)


def _card(gpu: GpuState) -> str:
    limits = f"{gpu.power_limit_minimum} to {gpu.power_limit_maximum}"
    held = ", ".join(gpu.throttled_by) or "nothing"
    return (
        f"card {gpu.index}: {gpu.name}, {gpu.memory} MiB, cap {gpu.power_limit} W of {limits} "
        f"(by itself {gpu.power_limit_default}), persistence {'on' if gpu.persistence else 'off'}, "
        f"clocks held down by {held}"
    )


def _differing(data: Mapping[str, Any]) -> str:
    """Numbers and this project's own words as they are; of other texts only that they are set."""
    found = []
    for key, default in default_settings().items():
        value = data.get(key, default)
        if value == default or key.startswith("ssh_"):
            continue
        plain = isinstance(value, int | float) or value is None or key in PUBLIC_TEXTS
        found.append(f"{key} = {value!r}" if plain else f"{key} is set")
    return ", ".join(found) or "none"


def _fit_line(answer: HostFit) -> str:
    fit = answer.fit
    verdict = "fits" if fit.fits else f"does not fit ({'; '.join(fit.reasons)})"
    return (
        f"fit: {verdict}; {fit.kv_tokens:,} tokens of KV cache predicted, "
        f"{fit.concurrency:.1f} sequences of {fit.flags.max_model_len:,}"
    )
