"""What will be on a host, from its settings, its engine's card and one reading of it. No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fortyninety.command_line import serve_arguments
from fortyninety.engine_card import EngineCard, lock_hash
from fortyninety.facts.survey import HostState, SurveyRequest
from fortyninety.operations.apt import Package
from fortyninety.settings import Settings

# The distributions whose own archive carries driver 550 or later, and which of their releases has
# python3.11: Debian 13's newest is 3.13, and Debian 12's installs beside it (measured).
SUPPORTED_DISTRIBUTIONS = {("debian", "13"): "Debian 13"}
PYTHON_SUITE = "bookworm"

HOST_TOOLS_LOCK = Path(__file__).resolve().parent.parent / "host-tools" / "requirements.txt"

SERVICE = "vllm.service"
POWER_SERVICE = "fortyninety-power-limit.service"
PERSISTENCE_SERVICE = "nvidia-persistenced.service"
DRIVER_PACKAGE = "nvidia-kernel-dkms"

ARCHIVE_SOURCES = "/etc/apt/sources.list.d/fortyninety.sources"
PYTHON_PREFERENCES = "/etc/apt/preferences.d/fortyninety-python"
NOUVEAU_CONFIGURATION = "/etc/modprobe.d/fortyninety-nouveau.conf"
SERVICE_UNIT = f"/etc/systemd/system/{SERVICE}"
POWER_UNIT = f"/etc/systemd/system/{POWER_SERVICE}"


@dataclass(frozen=True)
class Paths:
    """Where things are on the host."""

    tools: str
    tools_lock: str
    engine: str
    engine_lock: str
    current_engine: str
    models: str
    snapshot: str
    current_snapshot: str
    second_copy: str | None
    snapshot_program: str
    complete: str

    @property
    def surveyed(self) -> tuple[str, ...]:
        """Every path that an operation compares."""
        return (
            ARCHIVE_SOURCES,
            PYTHON_PREFERENCES,
            NOUVEAU_CONFIGURATION,
            SERVICE_UNIT,
            POWER_UNIT,
            complete_marker(self.tools),
            complete_marker(self.engine),
            self.current_engine,
            self.current_snapshot,
            self.snapshot_program,
            self.complete,
        )


def complete_marker(environment: str) -> str:
    """The file that a Python environment gets last of all, once it is whole and tried."""
    return f"{environment}/.fortyninety-complete"


@dataclass(frozen=True)
class AptSource:
    """A suite of an archive that apt is to know, at the address the host already uses."""

    address: str
    suite: str
    components: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that the tasks carry out on one host."""

    settings: Settings
    card: EngineCard
    paths: Paths
    apt_sources: tuple[AptSource, ...]
    driver_packages: tuple[Package, ...]
    cuda_packages: tuple[Package, ...]
    python_packages: tuple[Package, ...]
    snapshot_packages: tuple[Package, ...]
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command line of the service, with the program's full path."""
        program, *rest = self.card.entry
        return (f"{self.paths.engine}/bin/{program}", *rest, *self.arguments)


def plan_paths(settings: Settings, card: EngineCard) -> Paths:
    """Where things will be: environments named by their lock, the snapshot by its commit."""
    root = settings.install_directory
    tools = f"{root}/tools/{lock_hash(HOST_TOOLS_LOCK)}"
    engine = f"{root}/engines/{card.environment_name}"
    model_folder = settings.model_repository.partition("/")[2]
    model = f"{settings.models_directory}/{model_folder}"
    second = settings.second_copy_directory
    return Paths(
        tools=tools,
        tools_lock=f"{tools}.lock",
        engine=engine,
        engine_lock=f"{engine}.lock",
        current_engine=f"{root}/engines/current",
        models=model,
        snapshot=f"{model}/{settings.model_revision}",
        current_snapshot=f"{model}/current",
        second_copy=f"{second}/{model_folder}/{settings.model_revision}" if second else None,
        snapshot_program=f"{root}/bin/snapshot",
        complete=f"{root}/bin/complete",
    )


def driver_packages(settings: Settings, state: HostState) -> tuple[Package, ...]:
    """The driver of the branch, and headers for the kernels that it is built for.

    The headers' metapackage follows the image's, so that a kernel never arrives without them.
    """
    branch = f"{settings.driver_branch}."
    flavours = [
        name.replace("image", "headers", 1)
        for name, package in sorted(state.packages.items())
        if package.installed and re.fullmatch(r"linux-image-[a-z-]*amd64", name)
    ]
    newest = [f"linux-headers-{state.next_kernel}"] if state.next_kernel else []
    return (
        *(Package(name) for name in dict.fromkeys([*flavours, *newest])),
        Package(DRIVER_PACKAGE, branch),
        *(Package(name, branch) for name in ("libcuda1", "libnvidia-ml1", "nvidia-smi")),
        Package("nvidia-modprobe"),
        Package("nvidia-persistenced"),
    )


def python_packages(card: EngineCard) -> tuple[Package, ...]:
    """The engine's interpreter, what compiles kernels at run time, and what its card asks for.

    Triton compiles a launcher in C against Python's headers. python3-venv is for the host's tools.
    """
    names = (f"python{card.python}", f"python{card.python}-dev", "gcc", "libc6-dev", "python3-venv")
    return tuple(Package(name) for name in dict.fromkeys((*names, *card.host_packages)))


def apt_sources(state: HostState) -> tuple[AptSource, ...]:
    """The components with the driver, and the suite with Python 3.11, at the host's own archive.

    Only what the host's own sources lack: apt warns of a component that is named twice. Empty
    where apt knows no archive of the host's release: there is then no address to take.
    """
    own = [each for each in state.apt_archives if each.source_file != ARCHIVE_SOURCES]
    suites = {(each.suite, each.component): each.address for each in reversed(own)}
    address = suites.get((state.codename, "main"))
    if address is None:
        return ()
    wanted = (
        (state.codename, ("contrib", "non-free", "non-free-firmware")),
        (PYTHON_SUITE, ("main",)),
    )
    lacking = (
        AptSource(
            address,
            suite,
            tuple(each for each in components if (suite, each) not in suites),
        )
        for suite, components in wanted
    )
    return tuple(source for source in lacking if source.components)


def tensor_parallel_size(settings: Settings, state: HostState) -> int:
    """Over how many cards the model is split: the setting, or all the cards there are."""
    if settings.tensor_parallel_size == "all":
        return max(1, len(state.pci_cards))
    return settings.tensor_parallel_size


def survey_request(settings: Settings, card: EngineCard) -> SurveyRequest:
    """What the plan and its operations need to know of the host."""
    paths = plan_paths(settings, card)
    named = (
        *driver_packages(settings, HostState()),
        *cuda_packages(settings),
        *python_packages(card),
        *snapshot_packages(settings),
    )
    return SurveyRequest(
        files=paths.surveyed,
        packages=tuple(package.name for package in named),
        units=(SERVICE, POWER_SERVICE, PERSISTENCE_SERVICE),
        port=settings.port,
        service=SERVICE,
        user=settings.service_user,
        snapshot=paths.snapshot,
        models_directory=settings.models_directory,
        second_copy=paths.second_copy or "",
    )


def cuda_packages(settings: Settings) -> tuple[Package, ...]:
    """The CUDA toolkit of the version in the settings."""
    return (Package("nvidia-cuda-toolkit", f"{settings.cuda_version}."),)


def snapshot_packages(settings: Settings) -> tuple[Package, ...]:
    """What hosts hand snapshots on with."""
    return (Package("rsync"),) if settings.snapshot_peers else ()


def make_plan(settings: Settings, card: EngineCard, state: HostState) -> Plan:
    """The plan of a host. Raises FlagAbsent where the engine lacks a flag the settings need."""
    paths = plan_paths(settings, card)
    arguments = serve_arguments(
        settings,
        card,
        model_path=paths.snapshot,
        tensor_parallel_size=tensor_parallel_size(settings, state),
    )
    return Plan(
        settings=settings,
        card=card,
        paths=paths,
        apt_sources=apt_sources(state),
        driver_packages=driver_packages(settings, state),
        cuda_packages=cuda_packages(settings),
        python_packages=python_packages(card),
        snapshot_packages=snapshot_packages(settings),
        arguments=tuple(arguments),
        environment=tuple(sorted(card.environment.items())),
    )
