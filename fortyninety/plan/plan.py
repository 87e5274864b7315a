"""Plan what will be on a host, from its settings, its release's card and one reading. No I/O."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from fortyninety.cell.membership import Membership
from fortyninety.driver.plan import (
    REPOSITORY_TOOLS,
    DriverPlan,
    plan_driver,
)
from fortyninety.engine.command_line import (
    cell_environment,
    engine_entry,
    engine_environment,
    serve_arguments,
)
from fortyninety.on_host.roll_back import MEMBER_RESTARTS
from fortyninety.packages.package import Package
from fortyninety.packages.pins import Pin, suite_pins
from fortyninety.plan.archives import AptSource, apt_sources, driver_components
from fortyninety.plan.paths import (
    CELL_FIREWALL_SERVICE,
    NVIDIA_KEYRING,
    PERSISTENCE_SERVICE,
    POWER_SERVICE,
    SERVICE,
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
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading
from fortyninety.survey.request import DRIVER_NAMES, SurveyRequest


@dataclass(frozen=True)
class Plan:
    """Everything that the tasks carry out on one host."""

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
    def python_suite(self) -> str | None:
        """The other release's suite that Python comes from, if it does."""
        return PYTHON_SUITE if self.python_source == "debian-12" else None

    @property
    def python_pins(self) -> tuple[Pin, ...]:
        """What apt takes from that suite: this Python's own packages, and their security fixes."""
        if self.python_suite is None:
            return ()
        name = f"python{self.release.python}"
        suites = (self.python_suite, f"{self.python_suite}-security")
        return suite_pins(suites, (name, f"{name}-*", f"lib{name}", f"lib{name}-*"))

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


def survey_request(settings: Settings, release: Release) -> SurveyRequest:
    """What the plan and its operations need to know of the host."""
    paths = plan_paths(settings, release)
    named = (
        *REPOSITORY_TOOLS,
        *python_packages(release, "distribution"),
        *snapshot_packages(settings),
        Package("nftables"),
    )
    return SurveyRequest(
        files=paths.surveyed,
        # Which names the driver and the toolkit have depends on the host's distribution.
        packages=(*(package.name for package in named), *DRIVER_NAMES, "cuda-toolkit-*"),
        units=(SERVICE, POWER_SERVICE, PERSISTENCE_SERVICE, CELL_FIREWALL_SERVICE),
        port=settings.port,
        service=SERVICE,
        user=settings.service_user,
        snapshot=paths.snapshot,
        models_directory=settings.models_directory,
        install_directory=settings.install_directory,
        tools=paths.tools,
        engine=paths.engine,
        interpreter=paths.managed_interpreter,
        second_copy=paths.second_copy or "",
        keyring=NVIDIA_KEYRING,
    )


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
    settings: Settings, release: Release, reading: HostReading, cell: Membership | None = None
) -> Plan:
    """The plan of a host. Raises FlagAbsent where the engine lacks a flag the settings need."""
    paths = plan_paths(settings, release)
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
    )
