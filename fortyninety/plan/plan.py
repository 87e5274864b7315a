"""Plan what will be on a host, from its settings, its release's card and one reading. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fortyninety.cell.membership import Membership
from fortyninety.driver.plan import (
    NO_DRIVER,
    DriverPlan,
    plan_driver,
)
from fortyninety.engine.command_line import (
    cell_environment,
    engine_entry,
    engine_environment,
    serve_arguments,
)
from fortyninety.firewall.rules import Firewall, firewall_of
from fortyninety.on_host.roll_back import MEMBER_RESTARTS
from fortyninety.packages.package import Package
from fortyninety.packages.pins import Pin, suite_pins
from fortyninety.plan.archives import AptSource, apt_sources, driver_components
from fortyninety.plan.fronts import ALONE, Place
from fortyninety.plan.gateway import (
    GatewayPlan,
    Secrets,
    gateway_ports,
    plan_front,
    plan_gateway,
)
from fortyninety.plan.monitor import MonitorPlan, Watch, plan_monitor
from fortyninety.plan.paths import (
    Paths,
    plan_paths,
)
from fortyninety.plan.programs import CELL_MEMBER, program
from fortyninety.plan.python import (
    PYTHON_SUITE,
    PackageSource,
    package_source,
    python_packages,
    python_source,
)
from fortyninety.plan.signals import SignalsPlan, plan_signals
from fortyninety.plan.tenants import keeps_apart, tenant_arguments, tenant_environment
from fortyninety.plan.virtual_address import (
    Shared,
    VirtualAddressPlan,
    plan_virtual_address,
)
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading


@dataclass(frozen=True)
class Plan:
    """Everything that the tasks carry out on one host.

    Without an engine there is nothing of a driver, of Python, of a model and of a command line.
    """

    settings: Settings
    release: Release
    paths: Paths
    apt_sources: tuple[AptSource, ...]
    driver: DriverPlan
    python_packages: tuple[Package, ...]
    python_source: str
    package_source: PackageSource
    snapshot_packages: tuple[Package, ...]
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    # What the engine will say of its KV cache; None where it is not known what the model weighs.
    kv_tokens: int | None = None
    # The SHA-256 of the manifest that the checkpoint's snapshot has, by the list of its files.
    snapshot_manifest: str = ""
    cell: Membership | None = None
    cell_digest: str = ""
    gateway: GatewayPlan | None = None
    # Where the host lets people in to boxes, and the names of those.
    front: GatewayPlan | None = None
    boxes: tuple[str, ...] = ()
    firewall: Firewall | None = None
    signals: SignalsPlan | None = None
    virtual_address: VirtualAddressPlan | None = None
    monitor: MonitorPlan | None = None
    # Whether the engine sets a salt for each tenant.
    tenants_apart: bool = False

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command line of the service, with the program's full path.

        In a cell it is that of the program that runs the engine together with the other members'.
        """
        first, *rest = engine_entry(self.release, self.cell)
        engine = (f"{self.paths.engine}/bin/{first}", *rest, *self.arguments)
        if self.cell is None:
            return engine
        progress = ("prompt_tokens", "generation_tokens", "kv_usage")
        return (
            *(f"{self.paths.engine}/bin/python", self.paths.cell_member),
            *("--cell", self.cell.name, "--rank", str(self.cell.rank)),
            *("--members", ",".join(self.cell.addresses)),
            *("--link-port", str(self.cell.port), "--digest", self.cell_digest),
            *("--answer-port", str(self.settings.port)),
            *("--answer-model", self.settings.model_name),
            *("--complete", self.paths.complete),
            *("--progress", ",".join(self.release.metrics[key].name for key in progress)),
            *("--ready-timeout", str(self.settings.ready_timeout)),
            *("--", *engine),
        )

    @property
    def has_engine(self) -> bool:
        """Whether an engine serves on the host."""
        return self.settings.has_engine

    @property
    def restores(self) -> bool:
        """Whether what served before is put back where the new engine fails its gate.

        Not of a cell: its members go back together or not at all, and each has a gate of its own.
        """
        return self.settings.on_failed_gate == "restore" and self.cell is None

    @property
    def headless(self) -> bool:
        """Whether the engine answers nobody, because the head of its cell does."""
        return self.cell is not None and not self.cell.is_head

    @property
    def restarts(self) -> int:
        """How often the unit may be restarted before its engine answers."""
        return 0 if self.cell is None else MEMBER_RESTARTS

    @property
    def cell_packages(self) -> tuple[Package, ...]:
        """What the firewall of a cell is loaded with."""
        return () if self.cell is None else (Package("nftables"),)

    @property
    def firewall_packages(self) -> tuple[Package, ...]:
        """What the host's firewall is loaded with."""
        return () if self.firewall is None else (Package("nftables"),)

    @property
    def python_suite(self) -> str | None:
        """The other release's suite that Python comes from, if it does."""
        return PYTHON_SUITE if self.python_source == "debian-12" else None

    @property
    def python_pins(self) -> tuple[Pin, ...]:
        """What apt takes from that suite: this Python's own packages, and their security fixes."""
        if self.python_suite is None:
            return ()
        suites = (self.python_suite, f"{self.python_suite}-security")
        # By their source package, which apt looks up: patterns it compares with the name of every
        # package there is, in each of its runs.
        return suite_pins(suites, (f"src:python{self.release.python}",))

    @property
    def interpreter(self) -> str:
        """The Python that the engine's environment is made of."""
        if self.python_source == "uv":
            return self.paths.managed_interpreter
        return f"/usr/bin/python{self.release.python}"


def needed_archives(plan: Plan, reading: HostReading) -> tuple[str, ...]:
    """The archives ("<address> <suite>") without which a package of the plan cannot be installed.

    Empty where every package is there: nothing is fetched then, and nobody need answer.
    """
    packages = (
        *plan.driver.headers,
        *plan.driver.packages,
        *plan.driver.cuda_packages,
        *plan.python_packages,
        *plan.cell_packages,
        *(package for each in (plan.gateway, plan.front) if each for package in each.packages),
        *plan.firewall_packages,
        *(() if plan.signals is None else plan.signals.packages),
        *(() if plan.virtual_address is None else plan.virtual_address.packages),
        *(() if plan.monitor is None else plan.monitor.packages),
    )
    if all(each.satisfied_by(reading.installed(each.name)) for each in packages):
        return ()
    own = (
        f"{each.address} {each.suite}"
        for each in reading.apt.archives
        if each.suite == reading.os.codename and each.component == "main"
    )
    added = [f"{each.address} {each.suite}" for each in plan.apt_sources]
    if (repository := plan.driver.repository) is not None:
        added.append(f"{repository.address} /")
    return tuple(dict.fromkeys([*own, *added]))


def tensor_parallel_size(settings: Settings, reading: HostReading) -> int:
    """Over how many cards the model is split: the setting, or all the cards there are."""
    if settings.tensor_parallel_size == "all":
        return max(1, len(reading.cards.devices))
    return settings.tensor_parallel_size


def cell_digest(settings: Settings, release: Release, cell: Membership) -> str:
    """What all members must have alike before they start an engine together, as 16 digits."""
    same = serve_arguments(
        settings,
        release,
        model_path=settings.model_revision,
        tensor_parallel_size=1,
        cell=replace(cell, rank=0),
    )
    environment = sorted(engine_environment(settings, release, tensor_parallel_size=1).items())
    whole = [release.environment_name, same, environment, cell.addresses, program(CELL_MEMBER)]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


def snapshot_packages(settings: Settings) -> tuple[Package, ...]:
    """What hosts hand snapshots on with."""
    return (Package("rsync"),) if settings.snapshot_peers else ()


def make_plan(
    settings: Settings,
    release: Release,
    reading: HostReading,
    cell: Membership | None = None,
    secrets: Secrets | None = None,
    *,
    front_secrets: Secrets | None = None,
    place: Place = ALONE,
    peers: Sequence[str] = (),
) -> Plan:
    """The plan of a host. Raises FlagAbsent where the engine lacks a flag the settings need.

    `secrets` are those of its gateway and `front_secrets` of its front, for which there is none
    without them. `peers` are addresses of those to whom it hands its model on.
    """
    paths = plan_paths(settings, release)
    front = None
    if front_secrets is not None:
        shows = secrets is None
        front = plan_front(settings, paths, reading, front_secrets, place, shows=shows)
    if not settings.has_engine:
        return _plan_without_engine(settings, release, reading, front, place)
    cards = tensor_parallel_size(settings, reading)
    arguments = serve_arguments(
        settings,
        release,
        model_path=paths.snapshot,
        tensor_parallel_size=cards,
        cell=cell,
    )
    environment = engine_environment(settings, release, tensor_parallel_size=cards)
    if cell is not None:
        interface = reading.network.addresses.get(cell.own_address, "")
        environment |= cell_environment(release, cell, interface)
    source = python_source(settings, reading)
    driver = plan_driver(settings, reading)
    if driver.cuda_directory is not None and release.device == "cuda":
        # Where what compiles kernels at run time looks for a toolkit that is beside others.
        environment["CUDA_HOME"] = driver.cuda_directory
    fronted = place.fronted is not None
    if apart := keeps_apart(settings, release, cell, fronted=fronted):
        # Before what the settings add: the middleware nearest to the engine has the last word.
        added = len(arguments) - len(settings.engine_arguments)
        arguments[added:added] = tenant_arguments(release)
        environment |= tenant_environment(release, paths)
    return Plan(
        settings=settings,
        release=release,
        paths=paths,
        apt_sources=apt_sources(reading, source, driver_components(driver, reading)),
        driver=driver,
        python_packages=python_packages(release, source),
        python_source=source,
        package_source=package_source(settings),
        snapshot_packages=snapshot_packages(settings),
        arguments=tuple(arguments),
        environment=tuple(sorted(environment.items())),
        cell=cell,
        cell_digest="" if cell is None else cell_digest(settings, release, cell),
        gateway=None
        if secrets is None
        else plan_gateway(settings, release, paths, reading, secrets, place=place),
        front=front,
        boxes=tuple(box.name for box in place.boxes),
        firewall=firewall_of(
            settings, reading, cell, place.fronted.addresses if place.fronted else (), peers
        ),
        signals=plan_signals(
            settings,
            release,
            paths,
            reading,
            cell,
            gateway_port=gateway_ports(settings, place)[0] if secrets is not None else None,
            secrets=secrets or front_secrets,
        ),
        tenants_apart=apart,
    )


def sharing(plan: Plan, shared: Shared | None) -> Plan:
    """The plan of a host that has an address together with other fronts, or the plan as it is."""
    if shared is None:
        return plan
    firewall = plan.firewall and replace(plan.firewall, sharing=shared.place.peers)
    address = plan_virtual_address(plan.settings, plan.paths, shared)
    return replace(plan, virtual_address=address, firewall=firewall)


def watching(plan: Plan, watch: Watch | None) -> Plan:
    """The plan of a host that watches others, or the plan as it is."""
    return plan if watch is None else replace(plan, monitor=plan_monitor(plan.settings, watch))


def _plan_without_engine(
    settings: Settings,
    release: Release,
    reading: HostReading,
    front: GatewayPlan | None,
    place: Place,
) -> Plan:
    """The plan of a host that has another role alone."""
    return Plan(
        settings=settings,
        release=release,
        paths=plan_paths(settings, release),
        apt_sources=(),
        driver=NO_DRIVER,
        python_packages=(),
        python_source="",
        package_source=package_source(settings),
        snapshot_packages=(),
        signals=plan_signals(
            settings,
            release,
            plan_paths(settings, release),
            reading,
            None,
            gateway_port=None,
            secrets=None if front is None else front.secrets,
        ),
        arguments=(),
        environment=(),
        front=front,
        boxes=tuple(box.name for box in place.boxes),
        firewall=firewall_of(settings, reading, None),
    )
