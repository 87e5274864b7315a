"""Hold one reading of a host, by subject."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fortyninety.lease import Holder
from fortyninety.on_host.drain.state import Drained

# Of a published snapshot, by its own manifest: "touched" where a file was written to since.
Condition = Literal["whole", "touched", "damaged"]
# Of an environment, file by file by its mark: "cut" off midway or not there.
Seal = Literal["whole", "other", "cut"]
# Of a module that DKMS made: "built" where it is not among the kernel's modules.
DkmsMark = Literal["installed", "built", "failed"]
# Of Secure Boot, where it is on: "none" before DKMS made a key, or the certificate that the
# firmware does not know.
ModuleKey = Literal[
    "none", "unknown", "enrolled", "/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der"
]


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
    """What DKMS made of a version of NVIDIA's module for a kernel ("" where no log says which)."""

    version: str
    kernel: str
    mark: DkmsMark


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


@dataclass(frozen=True)
class OsReading:
    """The distribution, the machine, and the boot that the reading is of.

    `uid` is whom the survey ran as; None where an answer does not say.
    """

    distribution: str = ""
    version: str = ""
    codename: str = ""
    name: str = ""
    machine: str = ""
    boot_id: str = ""
    uid: int | None = None


@dataclass(frozen=True)
class ProcessorReading:
    """The first processor: its name, and the flags that the kernel lists for it."""

    name: str = ""
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AptReading:
    """What apt and dpkg know. `keyring` has the fingerprints in the keyring that was asked for."""

    archives: list[AptArchive] = field(default_factory=list)
    packages: dict[str, PackageState] = field(default_factory=dict)
    interrupted: bool = False
    keyring: tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelsReading:
    """The kernels that can boot, oldest first, each with its NVIDIA module's version or None.

    `chosen` is what the boot loader is set to start, where that can be told; `secure_boot` is None
    where it is off. `behind` are those whose initramfs is older than a file that it is to hold.
    """

    modules: dict[str, str | None] = field(default_factory=dict)
    dkms: list[DkmsState] = field(default_factory=list)
    chosen: str | None = None
    secure_boot: ModuleKey | None = None
    behind: tuple[str, ...] = ()

    @property
    def next(self) -> str | None:
        """The kernel that boots next: what the boot loader is set to, or else the newest one."""
        if self.chosen in self.modules:
            return self.chosen
        return list(self.modules)[-1] if self.modules else None


@dataclass(frozen=True)
class DriverReading:
    """The module in memory, and the version of each of its libraries that programs load."""

    module: str | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    nouveau: bool = False


@dataclass(frozen=True)
class CardsReading:
    """The cards as the bus shows them, with their addresses, and as the driver does, or why not."""

    devices: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    gpus: list[GpuState] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class AccountReading:
    """The service's account as passwd lists it, None where there is none, and its groups."""

    entry: str | None = None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServiceReading:
    """The units, and what the service was and may be started from.

    `configuration` is what root noted of the service's last start, None where nothing was noted.
    `environments` says of each engine environment whether it has its mark, `sealed` how the planned
    "tools", "engine" and "python" are; `served` begins with the latest. `altered` are the names of
    kept units that are no longer as they served.
    """

    units: dict[str, dict[str, str]] = field(default_factory=dict)
    configuration: str | None = None
    environments: dict[str, bool] = field(default_factory=dict)
    sealed: dict[str, Seal] = field(default_factory=dict)
    served: list[ServedUnit] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SnapshotReading:
    """The checkpoint's snapshot and its second copy, None where they are not there.

    `manifests` has the SHA-256 of the manifests of those two. `begun` is what is there of the
    snapshot in bytes, `commits` are the published ones, oldest first, and `leftovers` the names of
    what fetches of other commits left that were never finished. `closed` is whether the service's
    account may not read it.
    """

    condition: Condition | None = None
    second_copy: Condition | None = None
    manifests: dict[str, str] = field(default_factory=dict)
    begun: int = 0
    commits: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def absent(self) -> bool:
        """Whether it is certain that no file of any commit is there, published or on its way."""
        return self.condition is None and self.begun == 0 and not self.commits

    def published(
        self, kind: Literal["snapshot", "second_copy"], manifest: str
    ) -> Condition | Literal["other"] | None:
        """How one of the two is, held to the manifest that the list of its files makes.

        `manifest` is that one's SHA-256. "other" is what is whole by another manifest.
        """
        found = self.condition if kind == "snapshot" else self.second_copy
        if found == "whole" and self.manifests.get(kind) != manifest:
            return "other"
        return found


@dataclass(frozen=True)
class FoldersReading:
    """The folders on the way to what is installed, and how the file system there is mounted."""

    places: list[Place] = field(default_factory=list)
    install_options: frozenset[str] = frozenset()


@dataclass(frozen=True)
class DiskReading:
    """The disk of the models: its file system, its room, and each drive with whether it rotates."""

    filesystem: str = ""
    free_bytes: int = 0
    drives: list[tuple[str, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class NetworkReading:
    """Who listens on the service's port, the host's addresses and the cell's firewall.

    `foreign_sockets` is how many listen that no process of the service has open, and `listeners`
    who listens, in words of the host that decide nothing. `addresses` has the interface of each
    IPv4 address, `cell_firewall` what the table in the kernel was made from.
    """

    foreign_sockets: int = 0
    listeners: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    cell_firewall: str | None = None
    ipv6: bool = False


@dataclass(frozen=True)
class CertificateReading:
    """What stands in a file of a certificate and its key, and whether that is as it was written."""

    certificates: str | None = None
    whole: bool = False


@dataclass(frozen=True)
class GatewayReading:
    """What there is of a gateway or of a front: its account as passwd lists it, its certificates.

    `unit` is what root noted of the running one's start, `loaded` the SHA-256 of the configuration,
    the certificates' files and the keys that it has in force; None where nothing was noted of it.
    `drained` is until when the box gets nothing new, by the file that outlives its moment where
    nobody takes it away. `foreign_sockets` and `listeners` are as the engine's, of its ports.
    """

    account: str | None = None
    unit: str | None = None
    loaded: tuple[str, str, str] | None = None
    certificate: CertificateReading = CertificateReading()
    # What boxes know a front by.
    identity: CertificateReading = CertificateReading()
    drained: Drained | None = None
    foreign_sockets: int = 0
    listeners: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FirewallReading:
    """Where SSH is let in, and what filters.

    `came_from` is the address that this reading was asked from, as the host sees it. `digest` is
    what this project's table was made from, None where there is none, and `changed` whether it is
    no longer as it was loaded. `others` are further tables and what brings them, in the host's
    words.
    """

    ssh_ports: tuple[int, ...] = ()
    came_from: str | None = None
    digest: str | None = None
    changed: bool = False
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeaseReading:
    """Whether somebody has the host's lease, and who has it or had it last."""

    held: bool = False
    holder: Holder | None = None


@dataclass(frozen=True)
class HostReading:
    """One reading of a host.

    `unreadable` says why what the host answered is not a reading; then nothing else is set.
    """

    unreadable: str | None = None
    os: OsReading = OsReading()
    processor: ProcessorReading = ProcessorReading()
    apt: AptReading = AptReading()
    kernels: KernelsReading = KernelsReading()
    driver: DriverReading = DriverReading()
    cards: CardsReading = CardsReading()
    files: dict[str, FileState] = field(default_factory=dict)
    account: AccountReading = AccountReading()
    service: ServiceReading = ServiceReading()
    snapshot: SnapshotReading = SnapshotReading()
    folders: FoldersReading = FoldersReading()
    disk: DiskReading = DiskReading()
    network: NetworkReading = NetworkReading()
    gateway: GatewayReading = GatewayReading()
    front: GatewayReading = GatewayReading()
    # What boxes know a monitor by.
    monitor_identity: CertificateReading = CertificateReading()
    firewall: FirewallReading = FirewallReading()
    lease: LeaseReading = LeaseReading()

    @property
    def readable(self) -> bool:
        """Whether the survey came back at all: every host has a distribution's name."""
        return self.unreadable is None and bool(self.os.distribution)

    @property
    def loaded_driver(self) -> str | None:
        """The version of the driver in memory, by the kernel or by the cards' own answer."""
        gpus = self.cards.gpus
        return self.driver.module or (gpus[0].driver_version if gpus else None)

    def installed(self, package: str) -> str | None:
        """The installed version of `package`, or None."""
        known = self.apt.packages.get(package)
        return known.installed if known else None

    def unit(self, name: str, key: str) -> str:
        """A property of a systemd unit, empty where systemd knows no such unit."""
        return self.service.units.get(name, {}).get(key, "")
