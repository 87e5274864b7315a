"""What a host is like now, gathered by one script in one round trip.

A fleet run is bound by round trips (a channel and a shell for each command), so every operation of
a deploy compares with this one record instead of asking for its own facts.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from fortyninety.facts.boot_kernel import boot_entry_kernel, grub_kernel
from fortyninety.facts.throttling import throttle_reasons

SCRIPT = (Path(__file__).parent / "survey.sh").read_text()

# Names that packages of a driver have, of any source and branch; dpkg's and apt's patterns alike.
# Narrow: libnvjitlink-12-4, for one, is of a toolkit.
DRIVER_NAMES = (
    "*nvidia*",
    "libcuda1",
    "libcudadebugger1",
    "libnvcuvid1",
    "libnvoptix1",
    "cuda-drivers*",
)


@dataclass(frozen=True)
class SurveyRequest:
    """What to look at on a host beyond what is looked at on every host. Paths have no blanks.

    `packages` may hold patterns; `keyring` is the keyring of a repository; `patience` is how long
    nvidia-smi may take, in seconds: with persistence mode off and eight cards it loads for some.
    """

    files: tuple[str, ...]
    packages: tuple[str, ...]
    units: tuple[str, ...]
    port: int
    service: str
    user: str
    snapshot: str
    models_directory: str
    install_directory: str
    second_copy: str = ""
    keyring: str = ""
    patience: int = 60


@dataclass(frozen=True)
class ServedUnit:
    """A unit that passed the gate: its configuration, when last, and the environment it ran."""

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


@dataclass
class HostState:
    """One reading of a host.

    `kernels` maps each kernel to its NVIDIA module's version or None, `environments` the folder of
    each engine environment to whether it is whole, `addresses` each IPv4 address to its interface;
    `served` begins with the latest. `loaded_module` is the driver in memory, `libraries` holds the
    version of each of its libraries that programs load. `boot_kernel` is what the boot loader is
    set to start, where that can be told. `secure_boot` is None where it is off, and else
    "enrolled", "none" before DKMS made a key, "unknown", or the certificate that the firmware does
    not know. `pci_addresses` are those of `pci_cards`. `cell_firewall` is what the table in the
    kernel was made from. `keyring` holds the fingerprints of the keys in the keyring that was asked
    for. `processor_flags` are those that the kernel lists for the processor called `processor`.
    `snapshot` and `second_copy` are "whole", "touched" where a file was written to since it was
    published, "damaged", or None where there is none. `snapshot_begun` is what there is of it in
    bytes, `commits` are the folders of published commits, oldest first, and `leftovers` those of
    fetches of other commits that were never finished.
    """

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
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    running_configuration: str | None = None
    environments: dict[str, bool] = field(default_factory=dict)
    served: list[ServedUnit] = field(default_factory=list)
    snapshot: str | None = None
    second_copy: str | None = None
    snapshot_begun: int = 0
    commits: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    filesystem: str = ""
    free_bytes: int = 0
    disks: list[tuple[str, bool]] = field(default_factory=list)
    listeners: list[str] = field(default_factory=list)
    service_pids: frozenset[int] = frozenset()
    addresses: dict[str, str] = field(default_factory=dict)
    cell_firewall: str | None = None

    @property
    def readable(self) -> bool:
        """Whether the survey came back at all: every host has a distribution's name."""
        return bool(self.distribution)

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


class Survey(FactBase[HostState]):
    """The `HostState` of a host, for a `SurveyRequest`."""

    def command(self, request: SurveyRequest) -> str:
        """The script, with what it is to look at set before it."""
        variables = {
            "files": " ".join(request.files),
            "packages": " ".join(request.packages),
            "units": " ".join(request.units),
            "ports": str(request.port),
            "service": request.service,
            "user": request.user,
            "snapshot": request.snapshot,
            "models_directory": request.models_directory,
            "install_directory": request.install_directory,
            "second_copy": request.second_copy,
            "keyring": request.keyring,
            "patience": str(request.patience),
        }
        head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return f"{head}\n{SCRIPT}"

    @staticmethod
    def default() -> HostState:
        """An empty reading; pyinfra fails the host wherever it would be used."""
        return HostState()

    def process(self, output: list[str]) -> HostState:
        """The reading, from the script's records.

        Raises FactProcessError for a record that is not as the script writes it.
        """
        try:
            return _read(output)
        except (ValueError, IndexError) as error:
            raise FactProcessError(f"the survey printed something unexpected: {error}") from error


def _read(output: list[str]) -> HostState:
    records: dict[str, list[list[str]]] = defaultdict(list)
    for line in output:
        kind, *fields = line.split("\t")
        records[kind].append(fields)
    state = HostState()
    ((state.distribution, state.distribution_version, state.codename, state.distribution_name),) = (
        records["os"]
    )
    state.machine = records["machine"][0][0]
    for name, flags in records["processor"]:
        state.processor, state.processor_flags = name, frozenset(flags.split())
    state.boot_id = records["boot"][0][0]
    state.apt_archives = [
        AptArchive(entry.rpartition(":")[0], address, suite, component)
        # A repository without suites has no component either, and a line may lose its end.
        for entry, address, suite, component in ([*fields, ""][:4] for fields in records["apt"])
    ]
    state.packages = {
        name: PackageState(version if status == "installed" else None, want == "hold")
        for name, version, want, status in records["package"]
    }
    state.dpkg_interrupted = "dpkg-broken" in records
    state.keyring = tuple(fingerprint for (fingerprint,) in records["keyring"])
    state.kernels = {kernel: version or None for kernel, version in records["kernel"]}
    state.dkms = [DkmsState(version, kernel, mark) for version, kernel, mark in records["dkms"]]
    state.boot_kernel = _read_boot_kernel(records)
    state.secure_boot = records["secure-boot"][0][0] if "secure-boot" in records else None
    state.loaded_module = records["loaded"][0][0] if "loaded" in records else None
    state.libraries = {library: version for library, version in records["library"]}
    state.pci_cards = [device for _, device in records["pci"]]
    state.pci_addresses = [address for address, _ in records["pci"]]
    state.nouveau_loaded = "nouveau" in records
    state.gpus = [_read_gpu(fields[0]) for fields in records["gpu"]]
    state.gpu_error = records["gpu-error"][0][0].strip() if "gpu-error" in records else None
    state.files = _read_files(records)
    state.user = records["user"][0][0] or None
    state.units = _read_units([fields[0] for fields in records["unit"]])
    state.running_configuration = records["running"][0][0] if "running" in records else None
    state.environments = {path: mark == "whole" for path, mark in records["environment"]}
    state.served = sorted(
        (ServedUnit(name, int(when), engine) for name, when, engine in records["served"]),
        key=lambda served: served.served_at,
        reverse=True,
    )
    state.snapshot = records["snapshot"][0][0] if "snapshot" in records else None
    state.second_copy = records["second_copy"][0][0] if "second_copy" in records else None
    state.snapshot_begun = int(records["begun"][0][0]) if "begun" in records else 0
    state.commits = [folder for (folder,) in records["commit"]]
    state.leftovers = [folder for (folder,) in records["leftover"]]
    state.filesystem = records["filesystem"][0][0]
    state.free_bytes = int(records["filesystem"][0][1])
    state.disks = [(name, rotational == "1") for name, rotational in records["disk"]]
    state.listeners = [listener for _, listener in records["listener"]]
    state.service_pids = frozenset(int(pid) for (pid,) in records["service-pid"])
    state.addresses = {address: interface for interface, address in records["address"]}
    state.cell_firewall = records["cell-firewall"][0][0] if "cell-firewall" in records else None
    return state


def _read_boot_kernel(records: dict[str, list[list[str]]]) -> str | None:
    if "grub" in records:
        saved = dict(fields[0].split("=", 1) for fields in records["grub-env"])
        return grub_kernel([fields[0] for fields in records["grub"]], saved)
    return boot_entry_kernel(records["boot-entries"][0][0]) if "boot-entries" in records else None


def _read_gpu(line: str) -> GpuState:
    index, name, uuid, memory, driver, limit, low, high, persistence, *later = line.split(", ")
    # nvidia-smi without the later fields, see the script.
    bus, default, ecc, throttling = later or ("", "[N/A]", "[N/A]", "[N/A]")
    return GpuState(
        index=int(index),
        name=name,
        uuid=uuid,
        memory=int(memory),
        driver_version=driver,
        power_limit=_read_watts(limit),
        power_limit_minimum=_read_watts(low),
        power_limit_maximum=_read_watts(high),
        # A card without the mode says so otherwise.
        persistence=persistence != "Disabled",
        # nvidia-smi writes a domain of eight digits, the kernel one of four.
        bus=bus.lower().removeprefix("0000"),
        power_limit_default=_read_watts(default),
        ecc=None if ecc.startswith("[") else ecc == "Enabled",
        throttled_by=() if throttling.startswith("[") else throttle_reasons(int(throttling, 16)),
    )


def _read_watts(text: str) -> float | None:
    return None if text.startswith("[") else float(text)  # "[N/A]", "[Not Supported]"


def _read_files(records: dict[str, list[list[str]]]) -> dict[str, FileState]:
    hashes = {path: digest for digest, path in records["sha256"]}
    targets = {path: target for path, target in records["link"]}
    return {
        path: FileState(kind, mode, owner, group, hashes.get(path), targets.get(path))
        for path, kind, mode, owner, group in records["stat"]
    }


def _read_units(lines: list[str]) -> dict[str, dict[str, str]]:
    units: dict[str, dict[str, str]] = {}
    block: dict[str, str] = {}
    for line in [*lines, ""]:
        if line:
            key, value = line.split("=", 1)
            block[key] = value
        elif block:
            units[block["Id"]] = block
            block = {}
    return units
