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
GATEWAY_SERVICE = "fortyninety-gateway.service"
FRONT_SERVICE = "fortyninety-front.service"
# The distribution's own, which its package starts.
HAPROXY_SERVICE = "haproxy.service"
GATEWAY_ACCOUNT = "fortyninety-gateway"
FIREWALL_SERVICE = "fortyninety-firewall.service"
SIGNALS_SERVICE = "fortyninety-signals.service"
SIGNALS_TIMER = "fortyninety-signals.timer"
SIGNALS_ACCOUNT = "fortyninety-signals"
EXPORTER_SERVICE = "fortyninety-node-exporter.service"
VIRTUAL_ADDRESS_SERVICE = "fortyninety-virtual-address.service"
# The distribution's own, which is started where /etc/keepalived/keepalived.conf is.
KEEPALIVED_SERVICE = "keepalived.service"
PROMETHEUS_SERVICE = "fortyninety-prometheus.service"
ALERTMANAGER_SERVICE = "fortyninety-alertmanager.service"
# Of the distribution's packages, which make it.
MONITOR_ACCOUNT = "prometheus"
UNDRAIN_TIMER = "fortyninety-undrain.timer"
UNDRAIN_SERVICE = "fortyninety-undrain.service"
UNDRAIN_UNITS = (UNDRAIN_TIMER, UNDRAIN_SERVICE)

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
# Read by every `dkms`, whoever starts it.
DKMS_FOLDER = "/etc/dkms"
DKMS_CONFIGURATION = _everywhere(f"{DKMS_FOLDER}/framework.conf.d/fortyninety.conf")
NVCC = _everywhere("/usr/local/bin/nvcc")
# The toolkit's packages, fetched while the driver is built; on a converged host it is not there.
TOOLKIT_ARCHIVES = _everywhere("/var/cache/apt/fortyninety-toolkit")
# What NVIDIA's own installer leaves behind, which no package knows of.
RUN_FILE_UNINSTALLER = _everywhere("/usr/bin/nvidia-uninstall")
NOUVEAU_CONFIGURATION = _everywhere("/etc/modprobe.d/fortyninety-nouveau.conf")
SERVICE_UNIT = _everywhere(f"/etc/systemd/system/{SERVICE}")
POWER_UNIT = _everywhere(f"/etc/systemd/system/{POWER_SERVICE}")
CELL_FIREWALL_UNIT = _everywhere(f"/etc/systemd/system/{CELL_FIREWALL_SERVICE}")
CELL_FIREWALL_RULES = _everywhere("/etc/fortyninety/cell.nft")
GATEWAY_UNIT = _everywhere(f"/etc/systemd/system/{GATEWAY_SERVICE}")
GATEWAY_FOLDER = "/etc/fortyninety/gateway"
GATEWAY_CONFIGURATION = _everywhere(f"{GATEWAY_FOLDER}/haproxy.cfg")
GATEWAY_CERTIFICATE = _everywhere(f"{GATEWAY_FOLDER}/server.pem")
GATEWAY_KEYS = _everywhere(f"{GATEWAY_FOLDER}/keys.map")
# By which a box knows the fleet's fronts.
GATEWAY_AUTHORITY = _everywhere(f"{GATEWAY_FOLDER}/authority.pem")
FRONT_UNIT = _everywhere(f"/etc/systemd/system/{FRONT_SERVICE}")
FRONT_FOLDER = "/etc/fortyninety/front"
FRONT_CONFIGURATION = _everywhere(f"{FRONT_FOLDER}/haproxy.cfg")
FRONT_CERTIFICATE = _everywhere(f"{FRONT_FOLDER}/server.pem")
FRONT_KEYS = _everywhere(f"{FRONT_FOLDER}/keys.map")
# By which a front knows its boxes, and what they know it by.
FRONT_AUTHORITY = _everywhere(f"{FRONT_FOLDER}/authority.pem")
FRONT_IDENTITY = _everywhere(f"{FRONT_FOLDER}/identity.pem")
# Whether the box is drained, as the gateway reads it; what is true is in DRAINED.
GATEWAY_DRAINED = f"{GATEWAY_FOLDER}/drained.map"
# Written by the program that drains, and gone once the box serves again.
UNDRAIN_TIMER_UNIT = _everywhere(f"/etc/systemd/system/{UNDRAIN_TIMER}")
UNDRAIN_SERVICE_UNIT = _everywhere(f"/etc/systemd/system/{UNDRAIN_SERVICE}")
# A link to /dev/null keeps the distribution's own unit from starting.
HAPROXY_MASK = _everywhere(f"/etc/systemd/system/{HAPROXY_SERVICE}")
FIREWALL_UNIT = _everywhere(f"/etc/systemd/system/{FIREWALL_SERVICE}")
FIREWALL_RULES = _everywhere("/etc/fortyninety/firewall.nft")
SIGNALS_UNIT = _everywhere(f"/etc/systemd/system/{SIGNALS_SERVICE}")
SIGNALS_TIMER_UNIT = _everywhere(f"/etc/systemd/system/{SIGNALS_TIMER}")
# What the program that reads a box cannot know by itself.
SIGNALS_KNOWN = _everywhere("/etc/fortyninety/signals.json")
# Certificates alone, which are no secret; beside their keys they are in folders that are.
SIGNALS_AUTHORITY = _everywhere("/etc/fortyninety/signals-authority.pem")
SIGNALS_FRONT_IDENTITY = _everywhere("/etc/fortyninety/signals-front-identity.pem")
SIGNALS_MONITOR = _everywhere("/etc/fortyninety/signals-monitor.pem")
# What it remembers and what it found, until the next boot.
SIGNALS_FOLDER = "/run/fortyninety-signals"
EXPORTER_UNIT = _everywhere(f"/etc/systemd/system/{EXPORTER_SERVICE}")
# As HAPROXY_MASK: the distribution's own listens on every address.
EXPORTER_MASK = _everywhere("/etc/systemd/system/prometheus-node-exporter.service")
VIRTUAL_ADDRESS_UNIT = _everywhere(f"/etc/systemd/system/{VIRTUAL_ADDRESS_SERVICE}")
VIRTUAL_ADDRESS_FOLDER = "/etc/fortyninety/virtual-address"
VIRTUAL_ADDRESS_CONFIGURATION = _everywhere(f"{VIRTUAL_ADDRESS_FOLDER}/keepalived.conf")
VIRTUAL_ADDRESS_RUN = "/run/fortyninety-virtual-address"
# What the running one noted of its unit and of the configuration that it has in force.
VIRTUAL_ADDRESS_STARTED = _everywhere(f"{VIRTUAL_ADDRESS_RUN}/started")
VIRTUAL_ADDRESS_LOADED = _everywhere(f"{VIRTUAL_ADDRESS_RUN}/loaded")
PROMETHEUS_UNIT = _everywhere(f"/etc/systemd/system/{PROMETHEUS_SERVICE}")
ALERTMANAGER_UNIT = _everywhere(f"/etc/systemd/system/{ALERTMANAGER_SERVICE}")
# As HAPROXY_MASK: the distribution's own listen on every address.
PROMETHEUS_MASK = _everywhere("/etc/systemd/system/prometheus.service")
ALERTMANAGER_MASK = _everywhere("/etc/systemd/system/prometheus-alertmanager.service")
MONITOR_FOLDER = "/etc/fortyninety/monitor"
PROMETHEUS_CONFIGURATION = _everywhere(f"{MONITOR_FOLDER}/prometheus.yml")
ALERTMANAGER_CONFIGURATION = _everywhere(f"{MONITOR_FOLDER}/alertmanager.yml")
MONITOR_TARGETS = _everywhere(f"{MONITOR_FOLDER}/targets.json")
MONITOR_RULES = tuple(
    _everywhere(f"{MONITOR_FOLDER}/rules/{name}.yaml")
    for name in ("box", "cards", "engine", "names", "wanted")
)
# By which the boxes are known, what they know the monitor by, and where alerts are posted to.
MONITOR_AUTHORITY = _everywhere(f"{MONITOR_FOLDER}/authority.pem")
MONITOR_IDENTITY = _everywhere(f"{MONITOR_FOLDER}/monitor.pem")
MONITOR_WEBHOOK = _everywhere(f"{MONITOR_FOLDER}/webhook-url")
# Of each service what the running one noted of its unit, and of the files that it has in force.
PROMETHEUS_STATE = "/var/lib/fortyninety-prometheus"
PROMETHEUS_RUN = "/run/fortyninety-prometheus"
PROMETHEUS_STARTED = _everywhere(f"{PROMETHEUS_RUN}/started")
PROMETHEUS_LOADED = _everywhere(f"{PROMETHEUS_RUN}/loaded")
ALERTMANAGER_STATE = "/var/lib/fortyninety-alertmanager"
ALERTMANAGER_RUN = "/run/fortyninety-alertmanager"
ALERTMANAGER_STARTED = _everywhere(f"{ALERTMANAGER_RUN}/started")
ALERTMANAGER_LOADED = _everywhere(f"{ALERTMANAGER_RUN}/loaded")
# What the salts of tenants are made with; made on the host, and nowhere else.
TENANT_SECRET = _everywhere("/etc/fortyninety/tenant-secret")
# Compared by the fingerprints that are in it, which the survey reads apart.
NVIDIA_KEYRING = "/etc/apt/keyrings/fortyninety-nvidia.gpg"
# What a deploy brought that was not there before (fortyninety/operations/brought.py).
BROUGHT = "/var/lib/fortyninety/brought"
# What a rollout notes of the box (fortyninety/rollout/record.py).
ROLLOUT_RECORD = "/var/lib/fortyninety/rollout.json"
# The unit that last failed its gate (fortyninety/on_host/restore).
FAILED_GATE = "/var/lib/fortyninety/failed-gate.json"
# How the last check ended that was to be recorded (fortyninety/fleet/checked.py): a whole one, and
# one since that left some tests out.
CHECKED = "/var/lib/fortyninety/checked.json"
CHECKED_IN_PART = "/var/lib/fortyninety/checked-in-part.json"
# Until when the box gets nothing new, why and by whom.
DRAINED = _everywhere("/var/lib/fortyninety/drained.json")
UNDRAIN_STAMP = _everywhere(f"/var/lib/systemd/timers/stamp-{UNDRAIN_TIMER}")
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
    restore = compared(lambda own: f"{own.root}/bin/restore")
    cell_member = compared(lambda own: f"{own.root}/bin/cell-member")
    gateway_control = compared(lambda own: f"{own.root}/bin/gateway-control")
    signals = compared(lambda own: f"{own.root}/bin/signals")
    front_ready = compared(lambda own: f"{own.root}/bin/front-ready")
    drain = compared(lambda own: f"{own.root}/bin/drain")
    tenants = compared(lambda own: f"{own.root}/bin/tenants")
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
