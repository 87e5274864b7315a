"""Say what a reset takes from a host, and what it leaves there.

Pure: the declared paths of a host, a reading of it and of what a deploy left, and what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fortyninety.driver.pins import DRIVER_VERSION, is_driver_name
from fortyninety.on_host.snapshot.processes import ACCOUNT as FETCHING_ACCOUNT
from fortyninety.packages.needed import removable
from fortyninety.plan import paths as declared
from fortyninety.plan.paths import Paths, plan_paths
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import Release
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import HostReading
from fortyninety.survey.remains import Remains, RemainsRequest
from fortyninety.survey.request import SurveyRequest

# The units of a deploy, in the order in which they go: the engine before what it needs.
UNITS = (
    (declared.VIRTUAL_ADDRESS_SERVICE, declared.VIRTUAL_ADDRESS_UNIT),
    (declared.PROMETHEUS_SERVICE, declared.PROMETHEUS_UNIT),
    (declared.ALERTMANAGER_SERVICE, declared.ALERTMANAGER_UNIT),
    (declared.SIGNALS_TIMER, declared.SIGNALS_TIMER_UNIT),
    (declared.SIGNALS_SERVICE, declared.SIGNALS_UNIT),
    (declared.EXPORTER_SERVICE, declared.EXPORTER_UNIT),
    (declared.UNDRAIN_TIMER, declared.UNDRAIN_TIMER_UNIT),
    (declared.UNDRAIN_SERVICE, declared.UNDRAIN_SERVICE_UNIT),
    (declared.FRONT_SERVICE, declared.FRONT_UNIT),
    (declared.GATEWAY_SERVICE, declared.GATEWAY_UNIT),
    (declared.SERVICE, declared.SERVICE_UNIT),
    (declared.POWER_SERVICE, declared.POWER_UNIT),
)

# What apt is told, which goes with the driver and the toolkit that it is about.
APT_FILES = (
    declared.ARCHIVE_SOURCES,
    declared.PYTHON_PREFERENCES,
    declared.PYTHON_UNATTENDED_UPGRADES,
    declared.NVIDIA_PREFERENCES,
    declared.DRIVER_PREFERENCES,
    declared.UNATTENDED_UPGRADES,
    declared.NVIDIA_KEYRING,
)

# Read by a deploy and never written.
NOT_OURS = (declared.RUN_FILE_UNINSTALLER,)

# What a host keeps of what was done with it, and no deploy compares.
NOTES = (
    declared.ROLLOUT_RECORD,
    declared.FAILED_GATE,
    declared.CHECKED,
    declared.CHECKED_IN_PART,
)

# What a distribution's packages make and leave when they go.
LEFT_BY_PACKAGES = {
    "nvidia-persistenced": "the account of nvidia-persistenced (nvpd), which its package leaves",
    "prometheus": "the account prometheus, which its package leaves",
    "prometheus-node-exporter": "the account prometheus, which the node exporter's package leaves",
    "dkms": "the key that DKMS signs with, in /var/lib/dkms: the firmware may know it",
}

# Accounts that useradd --system makes (SYS_UID_MAX of /etc/login.defs).
HIGHEST_SYSTEM_ID = 999


@dataclass(frozen=True)
class ResetPlan:
    """What a reset of one host is about: where a deploy puts things there, and what is kept."""

    settings: Settings
    paths: Paths
    release: Release
    keep_model: bool = False
    keep_driver: bool = False

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders that are this project's own, with all that is in them.

        Not install_directory itself, which goes once it is empty.
        """
        below = f"{self.paths.root}/"
        own = (each.path for each in self.paths.directories if each.path.startswith(below))
        return (
            *own,
            *(declared.SERVICE_CACHE, declared.TOOLKIT_ARCHIVES),
            *(declared.GATEWAY_FOLDER, declared.FRONT_FOLDER, declared.SIGNALS_FOLDER),
            *(declared.VIRTUAL_ADDRESS_FOLDER, declared.VIRTUAL_ADDRESS_RUN),
            *(declared.MONITOR_FOLDER, declared.PROMETHEUS_STATE, declared.ALERTMANAGER_STATE),
            *(declared.PROMETHEUS_RUN, declared.ALERTMANAGER_RUN),
        )

    @property
    def caches(self) -> dict[str, str]:
        """The folders of root's caches, by the name that a deploy notes them under."""
        return {name: f"{declared.ROOT_CACHE}/{name}" for name in ("pip", "uv")}

    @property
    def emptied(self) -> tuple[str, ...]:
        """Folders that may hold what is not of a deploy, and go once they are empty."""
        models = () if self.keep_model else (self.paths.models, *self.model_folders)
        of_files = (declared.CELL_FIREWALL_RULES, declared.BROUGHT)
        folders = (path.rpartition("/")[0] for path in of_files)
        dkms = () if self.keep_driver else (declared.DKMS_FOLDER,)
        return (self.paths.root, declared.ROOT_CACHE, *folders, *dkms, *models)

    @property
    def model_folders(self) -> tuple[str, ...]:
        """The folders of the models, the second copy's included."""
        second = self.settings.second_copy_directory
        return (self.settings.models_directory, *((second,) if second else ()))

    @property
    def files(self) -> tuple[str, ...]:
        """Files outside of those folders that go as they are."""
        driver = () if self.keep_driver else (*APT_FILES, declared.DKMS_CONFIGURATION)
        drained = (declared.DRAINED, declared.UNDRAIN_STAMP)
        shown = (declared.SIGNALS_FRONT_IDENTITY, declared.SIGNALS_MONITOR)
        signals = (declared.SIGNALS_KNOWN, declared.SIGNALS_AUTHORITY, *shown)
        own = (declared.TENANT_SECRET, *signals, *NOTES, *drained)
        return (declared.NVCC, *own, *driver)

    @property
    def request(self) -> SurveyRequest:
        """What the survey looks at. No file of an environment: they go as they are."""
        request = survey_request(self.settings, self.release)
        more = (declared.NVIDIA_KEYRING, declared.BROUGHT, *NOTES)
        files = (*request.files, *more)
        return replace(request, files=files, whole=("tools", "engine", "python"))

    @property
    def remains_request(self) -> RemainsRequest:
        """What is looked at besides."""
        units = (path for _, path in UNITS)
        more = (
            *(declared.NOUVEAU_CONFIGURATION, declared.CELL_FIREWALL_UNIT),
            *(declared.FIREWALL_UNIT, declared.FIREWALL_RULES),
        )
        return RemainsRequest(
            note=declared.BROUGHT,
            own_account=FETCHING_ACCOUNT,
            folders=(*self.folders, *self.caches.values()),
            emptied=self.emptied,
            files=(*self.files, *units, *more),
            model_folders=self.model_folders,
            units=(
                *(declared.SERVICE, declared.POWER_SERVICE, declared.CELL_FIREWALL_SERVICE),
                *(declared.GATEWAY_SERVICE, declared.FRONT_SERVICE),
                declared.VIRTUAL_ADDRESS_SERVICE,
                declared.FIREWALL_SERVICE,
                *(declared.PROMETHEUS_SERVICE, declared.ALERTMANAGER_SERVICE),
                *(declared.EXPORTER_SERVICE, declared.SIGNALS_SERVICE, declared.SIGNALS_TIMER),
            ),
        )


def plan_reset(
    settings: Settings, release: Release, *, keep_model: bool, keep_driver: bool
) -> ResetPlan:
    """The reset of a host with these settings."""
    return ResetPlan(settings, plan_paths(settings, release), release, keep_model, keep_driver)


def packages_to_go(plan: ResetPlan, remains: Remains) -> tuple[tuple[str, ...], dict[str, str]]:
    """The packages that go, and those that a deploy brought and others need: each with who."""
    wanted = remains.packages
    if plan.keep_driver:
        wanted = tuple(name for name in wanted if not is_of_the_driver(name))
    return removable(wanted, remains.dpkg)


def holds_to_go(plan: ResetPlan, remains: Remains) -> tuple[str, ...]:
    """The holds of a deploy that are there now and go."""
    return () if plan.keep_driver else remains.holds


def folders_to_go(plan: ResetPlan, remains: Remains) -> tuple[str, ...]:
    """The folders that are there and go whole: this project's own, and caches that it began."""
    caches = (plan.caches[name] for name in remains.caches)
    return tuple(path for path in (*plan.folders, *caches) if path in remains.there)


def accounts_to_go(remains: Remains) -> tuple[str, ...]:
    """The accounts that a deploy made; never root's or a person's."""
    return tuple(
        name for name, number in remains.accounts.items() if 0 < number <= HIGHEST_SYSTEM_ID
    )


def is_of_the_driver(name: str) -> bool:
    """Whether a package is of the driver or the toolkit; what these need stays with them."""
    return is_driver_name(name) or name.startswith(("cuda-toolkit-", "linux-headers-"))


def left(plan: ResetPlan, reading: HostReading, remains: Remains) -> Iterator[str]:
    """What stays on the host, in words: a line each."""
    yield "logs (the journal, /var/log), and apt's lists and archives"
    yield "the host's lease in /run/fortyninety, until the next boot"
    yield from _packages_left(plan, reading, remains)
    if plan.keep_driver:
        yield "the driver and the CUDA toolkit, with their holds and what apt was told of them"
    elif (loaded := reading.loaded_driver) is not None:
        yield f"driver {loaded} in memory, until the next boot"
    if plan.keep_model:
        yield f"the models in {' and '.join(plan.model_folders)}"
    user = plan.settings.service_user
    if remains.noted and reading.account.entry is not None and user not in remains.accounts:
        yield f"account {user}, which was there before"
    for name, cache in plan.caches.items():
        if cache in remains.there and name not in remains.caches:
            yield f"{cache}, which was there before"
    for folder in remains.drop_ins:
        yield f"{folder}, which is somebody's own"


def _packages_left(plan: ResetPlan, reading: HostReading, remains: Remains) -> Iterator[str]:
    if not remains.noted:
        if declared.SERVICE_UNIT in reading.files or remains.there:
            yield (
                "packages, holds and the account: the deploy was of a release that did not note "
                "what it brought (see /var/log/apt/history.log and `apt-mark showhold`)"
            )
        return
    yield "packages that were there before, at the version that they have now"
    if plan.keep_driver:
        return
    for made_by, what in LEFT_BY_PACKAGES.items():
        if made_by in remains.packages:
            yield what
    _, needed = packages_to_go(plan, remains)
    for name, by in sorted(needed.items()):
        yield f"package {name}, which {by} needs"
    for name, package in sorted(reading.apt.packages.items()):
        version = package.installed
        if version is None or name in remains.packages or not is_driver_name(name):
            continue
        if DRIVER_VERSION.match(version):
            yield f"package {name} {version}, which was there before"
