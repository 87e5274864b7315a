"""Declare where things are on a host, each once: what is compared is also surveyed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

from fortyninety.checkout import HOST_TOOLS_LOCK
from fortyninety.plan.directory import Directory
from fortyninety.releases.release import Release, lock_hash
from fortyninety.settings.model import Settings

SERVICE = "vllm.service"
POWER_SERVICE = "fortyninety-power-limit.service"
PERSISTENCE_SERVICE = "nvidia-persistenced.service"
CELL_FIREWALL_SERVICE = "fortyninety-cell-firewall.service"

# What `_everywhere` declared.
_EVERYWHERE: list[str] = []


def _everywhere(path: str) -> str:
    """Declare a path that is the same on every host and that an operation compares."""
    _EVERYWHERE.append(path)
    return path


ARCHIVE_SOURCES = _everywhere("/etc/apt/sources.list.d/fortyninety.sources")
PYTHON_PREFERENCES = _everywhere("/etc/apt/preferences.d/fortyninety-python")
PYTHON_UNATTENDED_UPGRADES = _everywhere("/etc/apt/apt.conf.d/52fortyninety-python")
NVIDIA_PREFERENCES = _everywhere("/etc/apt/preferences.d/fortyninety-nvidia")
DRIVER_PREFERENCES = _everywhere("/etc/apt/preferences.d/fortyninety-driver")
# After the distribution's own 50unattended-upgrades, whose list it adds to.
UNATTENDED_UPGRADES = _everywhere("/etc/apt/apt.conf.d/52fortyninety-driver")
NVCC = _everywhere("/usr/local/bin/nvcc")
# What NVIDIA's own installer leaves behind, which no package knows of.
RUN_FILE_UNINSTALLER = _everywhere("/usr/bin/nvidia-uninstall")
NOUVEAU_CONFIGURATION = _everywhere("/etc/modprobe.d/fortyninety-nouveau.conf")
SERVICE_UNIT = _everywhere(f"/etc/systemd/system/{SERVICE}")
POWER_UNIT = _everywhere(f"/etc/systemd/system/{POWER_SERVICE}")
CELL_FIREWALL_UNIT = _everywhere(f"/etc/systemd/system/{CELL_FIREWALL_SERVICE}")
CELL_FIREWALL_RULES = _everywhere("/etc/fortyninety/cell.nft")
# Compared by the fingerprints that are in it, which the survey reads apart.
NVIDIA_KEYRING = "/etc/apt/keyrings/fortyninety-nvidia.gpg"
# What a deploy brought that was not there before (fortyninety/operations/brought.py).
BROUGHT = "/var/lib/fortyninety/brought"
# The service's caches, as its unit names them (CacheDirectory=).
SERVICE_CACHE = "/var/cache/vllm"
# Where root's pip and uv keep what they fetched.
ROOT_CACHE = "/root/.cache"


class Declared:
    """A path that follows from the others of a host; `surveyed` where an operation compares it."""

    def __init__(self, path: Callable[[Paths], str], *, surveyed: bool) -> None:
        self._path = path
        self.surveyed = surveyed

    @overload
    def __get__(self, paths: None, owner: type[Paths]) -> Declared: ...

    @overload
    def __get__(self, paths: Paths, owner: type[Paths]) -> str: ...

    def __get__(self, paths: Paths | None, owner: type[Paths]) -> Declared | str:
        """The path on the host of these paths."""
        return self if paths is None else self._path(paths)


def named(path: Callable[[Paths], str]) -> Declared:
    """Declare a path that no operation compares."""
    return Declared(path, surveyed=False)


def compared(path: Callable[[Paths], str]) -> Declared:
    """Declare a path that an operation compares, so that the survey reads it."""
    return Declared(path, surveyed=True)


@dataclass(frozen=True)
class Paths:
    """Where things are on a host: what its settings and its release give, and what follows.

    `models` is the folder of the model's commits, `tools_name` and `engine_name` are the folders of
    environments, each named by its lock.
    """

    root: str
    models: str
    revision: str
    second_copy: str | None
    tools_name: str
    engine_name: str
    python: str

    temporary = named(lambda own: f"{own.root}/tmp")
    tools = named(lambda own: f"{own.root}/tools/{own.tools_name}")
    tools_lock = named(lambda own: f"{own.tools}.lock")
    pythons = named(lambda own: f"{own.root}/pythons")
    engine = named(lambda own: f"{own.root}/engines/{own.engine_name}")
    engine_lock = named(lambda own: f"{own.engine}.lock")
    snapshot = named(lambda own: f"{own.models}/{own.revision}")
    served = named(lambda own: f"{own.root}/served")

    managed_interpreter = compared(lambda own: f"{own.pythons}/python{own.python}")
    current_engine = compared(lambda own: f"{own.root}/engines/current")
    current_snapshot = compared(lambda own: f"{own.models}/current")
    build_environment = compared(lambda own: f"{own.root}/bin/build-environment")
    seal_environment = compared(lambda own: f"{own.root}/bin/seal-environment")
    try_engine = compared(lambda own: f"{own.root}/bin/try-engine")
    check_command_line = compared(lambda own: f"{own.root}/bin/check-command-line")
    snapshot_program = compared(lambda own: f"{own.root}/bin/snapshot")
    complete = compared(lambda own: f"{own.root}/bin/complete")
    engine_failure = compared(lambda own: f"{own.root}/bin/engine-failure")
    cell_member = compared(lambda own: f"{own.root}/bin/cell-member")
    nvcc = compared(lambda own: f"{own.root}/bin/nvcc")

    @property
    def directories(self) -> tuple[Directory, ...]:
        """This project's own folders, each above those in it."""
        below = ("bin", "tools", "engines", "pythons", "served")
        return (
            Directory(self.root),
            *(Directory(f"{self.root}/{name}") for name in below),
            # What is executed from a temporary folder, which /tmp may not allow.
            Directory(self.temporary, "700"),
        )

    @property
    def surveyed(self) -> tuple[str, ...]:
        """Every path that an operation compares."""
        declared = (
            (name, each)
            for kind in reversed(type(self).__mro__)
            for name, each in vars(kind).items()
            if isinstance(each, Declared)
        )
        return (
            *_EVERYWHERE,
            *(each.path for each in self.directories),
            *(getattr(self, name) for name, each in declared if each.surveyed),
        )


def plan_paths(settings: Settings, release: Release) -> Paths:
    """Where things will be: environments named by their lock, the snapshot by its commit."""
    model = settings.model_repository.partition("/")[2]
    second = settings.second_copy_directory
    return Paths(
        root=settings.install_directory,
        models=f"{settings.models_directory}/{model}",
        revision=settings.model_revision,
        second_copy=f"{second}/{model}/{settings.model_revision}" if second else None,
        tools_name=lock_hash(HOST_TOOLS_LOCK),
        engine_name=release.environment_name,
        python=release.python,
    )
