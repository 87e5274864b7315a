"""Hold one reading of a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fortyninety.lease import Holder


@dataclass(frozen=True)
class ServedUnit:
    """A unit that passed the gate: its configuration, when last, and its environment's name."""

    configuration: str
    served_at: int
    engine: str


@dataclass(frozen=True)
class FileState:
    """A path on the host. `mode` is octal text without a leading zero, such as "644"."""

    kind: str
    mode: str
    owner: str
    group: str
    sha256: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class PackageState:
    """A package that dpkg knows: `installed` is its version, or None; `held` if apt keeps it."""

    installed: str | None
    held: bool


@dataclass(frozen=True)
class AptArchive:
    """One component of a suite that apt is set up with, and the file that sets it up."""

    source_file: str
    address: str
    suite: str
    component: str


@dataclass(frozen=True)
class DkmsState:
    """What DKMS made of a version of NVIDIA's module for a kernel ("" where its log does not say).

    `mark` is "installed", "built" where it is not among the kernel's modules, or "failed".
    """

    version: str
    kernel: str
    mark: str


@dataclass(frozen=True)
class GpuState:
    """A card as the driver shows it. Memory in MiB, power in W, None where it has no power cap.

    `bus` is its PCI address as sysfs writes it, `ecc` None where the card has no such memory (no
    GeForce does), and `throttled_by` names what holds its clocks down now.
    """

    index: int
    name: str
    uuid: str
    memory: int
    driver_version: str
    power_limit: float | None
    power_limit_minimum: float | None
    power_limit_maximum: float | None
    persistence: bool
    bus: str = ""
    power_limit_default: float | None = None
    ecc: bool | None = None
    throttled_by: tuple[str, ...] = ()

    def takes(self, power_limit: int) -> bool:
        """Whether the cap (W) lies within the card's own limits; never on a card without any."""
        return (
            self.power_limit_minimum is not None
            and self.power_limit_maximum is not None
            and self.power_limit_minimum <= power_limit <= self.power_limit_maximum
        )


@dataclass(frozen=True)
class Place:
    """A folder of a setting, or one on the way to it: what it is, its mode and its owner's id.

    `next_is_there` is whether the next folder on the way exists.
    """

    setting: str
    path: str
    kind: str
    mode: str
    owner: int
    next_is_there: bool


@dataclass
class HostReading:
    """One reading of a host.

    `unreadable` says why what the host answered is not a reading; then nothing else is set.
    `kernels` maps each kernel to its NVIDIA module's version or None, `environments` the name of
    each engine environment to whether it has its mark, `sealed` whether the planned "tools",
    "engine" and "python" are "whole", that is file by file what their marks say, "other", or "cut"
    off midway (or not there), `addresses` each IPv4 address to its interface;
    `served` begins with the latest. `running_configuration` is what root noted of the service's
    last start, None where nothing was noted of it. `loaded_module` is the driver in memory,
    `libraries` holds the version of each of its libraries that programs load. `boot_kernel` is what
    the boot loader is set to start, where that can be told. `secure_boot` is None where it is off,
    and else "enrolled", "none" before DKMS made a key, "unknown", or the certificate that the
    firmware does not know. `pci_addresses` are those of `pci_cards`. `cell_firewall` is what the
    table in the kernel was made from. `keyring` holds the fingerprints of the keys in the keyring
    that was asked for. `processor_flags` are those that the kernel lists for the processor called
    `processor`. `snapshot` and `second_copy` are "whole", "touched" where a file was written to
    since it was published, "damaged", or None where there is none, each by a manifest of its own;
    `manifests` has the SHA-256 of those two. `snapshot_begun` is what there is of it in bytes,
    `commits` are the published commits, oldest first, and `leftovers` the names of what fetches of
    other commits left that were never finished. `foreign_sockets` is how many listen on the
    service's port that no process of the service has open, and `listeners` who listens there, in
    words of the host that decide nothing. `leaseholder` has the host's lease, or had it last.
    """

    unreadable: str | None = None
    distribution: str = ""
    distribution_version: str = ""
    codename: str = ""
    distribution_name: str = ""
    machine: str = ""
    processor: str = ""
    processor_flags: frozenset[str] = frozenset()
    boot_id: str = ""
    apt_archives: list[AptArchive] = field(default_factory=list)
    packages: dict[str, PackageState] = field(default_factory=dict)
    dpkg_interrupted: bool = False
    keyring: tuple[str, ...] = ()
    kernels: dict[str, str | None] = field(default_factory=dict)
    dkms: list[DkmsState] = field(default_factory=list)
    boot_kernel: str | None = None
    secure_boot: str | None = None
    loaded_module: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    pci_cards: list[str] = field(default_factory=list)
    pci_addresses: list[str] = field(default_factory=list)
    nouveau_loaded: bool = False
    gpus: list[GpuState] = field(default_factory=list)
    gpu_error: str | None = None
    files: dict[str, FileState] = field(default_factory=dict)
    user: str | None = None
    user_groups: tuple[str, ...] = ()
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    running_configuration: str | None = None
    environments: dict[str, bool] = field(default_factory=dict)
    sealed: dict[str, str] = field(default_factory=dict)
    served: list[ServedUnit] = field(default_factory=list)
    snapshot: str | None = None
    second_copy: str | None = None
    manifests: dict[str, str] = field(default_factory=dict)
    snapshot_begun: int = 0
    commits: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    snapshot_closed: bool = False
    places: list[Place] = field(default_factory=list)
    install_options: frozenset[str] = frozenset()
    filesystem: str = ""
    free_bytes: int = 0
    disks: list[tuple[str, bool]] = field(default_factory=list)
    foreign_sockets: int = 0
    listeners: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    cell_firewall: str | None = None
    lease_held: bool = False
    leaseholder: Holder | None = None

    @property
    def readable(self) -> bool:
        """Whether the survey came back at all: every host has a distribution's name."""
        return self.unreadable is None and bool(self.distribution)

    def published(self, kind: Literal["snapshot", "second_copy"], manifest: str) -> str | None:
        """How one of the two is, held to the manifest that the list of its files makes.

        `manifest` is that one's SHA-256. "other" is what is whole by another manifest.
        """
        found = {"snapshot": self.snapshot, "second_copy": self.second_copy}[kind]
        if found == "whole" and self.manifests.get(kind) != manifest:
            return "other"
        return found

    @property
    def loaded_driver(self) -> str | None:
        """The version of the driver in memory, by the kernel or by the cards' own answer."""
        return self.loaded_module or (self.gpus[0].driver_version if self.gpus else None)

    @property
    def next_kernel(self) -> str | None:
        """The kernel that boots next: what the boot loader is set to, or else the newest one."""
        if self.boot_kernel in self.kernels:
            return self.boot_kernel
        return list(self.kernels)[-1] if self.kernels else None

    def installed(self, package: str) -> str | None:
        """The installed version of `package`, or None."""
        state = self.packages.get(package)
        return state.installed if state else None

    def unit(self, name: str, key: str) -> str:
        """A property of a systemd unit, empty where systemd knows no such unit."""
        return self.units.get(name, {}).get(key, "")
