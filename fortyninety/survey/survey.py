"""Read what a host is like now, by one script in one round trip.

A fleet run is bound by round trips (a channel and a shell for each command), so every operation of
a deploy compares with this one record instead of asking for its own facts.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Literal

from pyinfra.api.facts import FactBase

from fortyninety.lease import Holder, read_holder
from fortyninety.survey import records as forms
from fortyninety.survey.boot_kernel import boot_entry_kernel, grub_kernel
from fortyninety.survey.records import (
    Unreadable,
    one,
    parse_records,
    perhaps,
    quoted,
    several,
    word_of,
)
from fortyninety.survey.throttling import throttle_reasons

SCRIPT = (Path(__file__).parent / "survey.sh").read_text()

# Every kind of record that the script prints, and what its fields may be.
KINDS = {
    "os": one(*(forms.TEXT,) * 4),
    "machine": one(forms.WORD),
    "processor": perhaps(forms.TEXT, forms.LONG_TEXT),
    "boot": one(forms.IDENTIFIER),
    "apt": several(*(forms.TEXT,) * 4),
    # One of two architectures has the same name.
    "package": several(forms.PACKAGE, forms.PACKAGE_VERSION, forms.WORD, forms.WORD),
    "dpkg-broken": perhaps(),
    "keyring": several(forms.FINGERPRINT),
    "kernel": several(forms.KERNEL, forms.PERHAPS_VERSION, name=0),
    "dkms": several(forms.VERSION, forms.PERHAPS_KERNEL, word_of("installed", "built", "failed")),
    "grub": several(forms.TEXT),
    "grub-env": several(forms.TEXT),
    "boot-entries": perhaps(forms.LONG_TEXT),
    "pci": several(forms.PCI_ADDRESS, forms.PCI_DEVICE, name=0),
    "nouveau": perhaps(),
    "loaded": perhaps(forms.DRIVER_VERSION),
    "library": several(word_of("libcuda.so", "libnvidia-ml.so"), forms.VERSION, name=0),
    "secure-boot": perhaps(
        word_of(
            *("none", "unknown", "enrolled"),
            *("/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der"),
        )
    ),
    "gpu": several(forms.TEXT),
    "gpu-error": perhaps(forms.TEXT),
    "stat": several(forms.PATH, forms.TEXT, forms.MODE, forms.TEXT, forms.TEXT, name=0),
    "sha256": several(forms.SHA256, forms.PATH, name=1),
    "link": several(forms.PATH, forms.TEXT, name=0),
    "user": one(forms.ACCOUNT),
    "groups": perhaps(forms.TEXT),
    "unit": several(forms.UNIT_LINE),
    "running": perhaps(forms.CONFIGURATION),
    "environment": several(forms.ENVIRONMENT, word_of("whole", "cut"), name=0),
    "sealed": several(
        word_of("tools", "engine", "python"), word_of("whole", "other", "cut"), name=0
    ),
    "served": several(forms.CONFIGURATION, forms.NUMBER, forms.PERHAPS_ENVIRONMENT, name=0),
    "snapshot": perhaps(word_of("whole", "touched", "damaged")),
    "second_copy": perhaps(word_of("whole", "touched", "damaged")),
    "manifest": several(word_of("snapshot", "second_copy"), forms.SHA256, name=0),
    "snapshot-closed": perhaps(),
    "begun": one(forms.NUMBER),
    "commit": several(forms.COMMIT, name=0),
    "leftover": several(forms.LEFTOVER, name=0),
    "place": several(
        word_of("install_directory", "models_directory", "second_copy_directory"),
        *(forms.PATH, forms.TEXT, forms.MODE, forms.NUMBER),
    ),
    "install-options": perhaps(forms.TEXT),
    "filesystem": one(forms.TEXT, forms.NUMBER),
    "disk": several(forms.WORD, word_of("0", "1")),
    "socket": several(forms.NUMBER, forms.NUMBER, word_of("service", "other")),
    "listener": several(forms.NUMBER, forms.LONG_TEXT),
    "address": several(forms.WORD, forms.IPV4),
    "cell-firewall": perhaps(forms.DIGEST),
    "lease": perhaps(word_of("held", "free"), forms.TEXT),
}

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
    `whole` names those of "tools", "engine" and "python" whose files were compared with their marks
    before, and are not compared again: an engine has some 60,000.
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
    tools: str = ""
    engine: str = ""
    interpreter: str = ""
    second_copy: str = ""
    keyring: str = ""
    patience: int = 60
    whole: tuple[str, ...] = ()


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


class Survey(FactBase[HostReading]):
    """The `HostReading` of a host, for a `SurveyRequest`."""

    _request: SurveyRequest | None = None

    def command(self, request: SurveyRequest) -> str:
        """The script, with what it is to look at set before it."""
        self._request = request
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
            "tools": request.tools,
            "engine": request.engine,
            "interpreter": request.interpreter,
            "second_copy": request.second_copy,
            "keyring": request.keyring,
            "patience": str(request.patience),
            "whole": " ".join(request.whole),
        }
        head = "\n".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return f"{head}\n{SCRIPT}"

    @staticmethod
    def default() -> HostReading:
        """An empty reading; pyinfra fails the host wherever it would be used."""
        return HostReading()

    def process(self, output: list[str]) -> HostReading:
        """The reading, from the script's records, or one that says why it is `unreadable`."""
        try:
            return read_survey(output, self._request)
        except Unreadable as unreadable:
            return HostReading(unreadable=str(unreadable))


def read_survey(output: list[str], request: SurveyRequest | None = None) -> HostReading:
    """The reading of a host that printed these records, about what was asked for in `request`.

    Raises Unreadable where a record is not as the script writes it.
    """
    records = parse_records(output, KINDS)
    state = HostReading()
    ((state.distribution, state.distribution_version, state.codename, state.distribution_name),) = (
        records["os"]
    )
    if not state.distribution:
        raise Unreadable("an os-release without an ID")
    ((state.machine,),) = records["machine"]
    for name, flags in records["processor"]:
        state.processor, state.processor_flags = name, frozenset(flags.split())
    ((state.boot_id,),) = records["boot"]
    state.apt_archives = [
        AptArchive(entry.rpartition(":")[0], address, suite, component)
        for entry, address, suite, component in records["apt"]
        if _ARCHIVE.fullmatch(f"{address} {suite} {component}")
    ]
    state.packages = {
        name: PackageState(version if status == "installed" else None, want == "hold")
        for name, version, want, status in records["package"]
    }
    state.dpkg_interrupted = bool(records["dpkg-broken"])
    state.keyring = tuple(fingerprint for (fingerprint,) in records["keyring"])
    state.kernels = {kernel: version or None for kernel, version in records["kernel"]}
    state.dkms = [DkmsState(version, kernel, mark) for version, kernel, mark in records["dkms"]]
    state.boot_kernel = _read_boot_kernel(records)
    state.secure_boot = _only(records["secure-boot"])
    state.loaded_module = _only(records["loaded"])
    state.libraries = {library: version for library, version in records["library"]}
    state.pci_cards = [device for _, device in records["pci"]]
    state.pci_addresses = [address for address, _ in records["pci"]]
    state.nouveau_loaded = bool(records["nouveau"])
    state.gpus = [_read_gpu(line) for (line,) in records["gpu"]]
    gpu_error = _only(records["gpu-error"])
    state.gpu_error = None if gpu_error is None else gpu_error.strip()
    state.files = _read_files(records, None if request is None else frozenset(request.files))
    state.user = _only(records["user"]) or None
    state.user_groups = tuple((_only(records["groups"]) or "").split())
    state.units = _read_units([line for (line,) in records["unit"]])
    state.running_configuration = _only(records["running"])
    state.sealed = {which: mark for which, mark in records["sealed"]}
    state.environments = {name: mark == "whole" for name, mark in records["environment"]}
    state.served = sorted(
        (ServedUnit(name, int(when), engine) for name, when, engine in records["served"]),
        key=lambda served: served.served_at,
        reverse=True,
    )
    state.snapshot = _only(records["snapshot"])
    state.second_copy = _only(records["second_copy"])
    state.manifests = dict(records["manifest"])
    state.snapshot_begun = int(_only(records["begun"]) or 0)
    state.commits = [commit for (commit,) in records["commit"]]
    state.leftovers = [name for (name,) in records["leftover"]]
    state.snapshot_closed = bool(records["snapshot-closed"])
    state.places = _read_places(records)
    for (options,) in records["install-options"]:
        state.install_options = frozenset(options.split(","))
    ((state.filesystem, free_bytes),) = records["filesystem"]
    state.free_bytes = int(free_bytes)
    state.disks = [(name, rotational == "1") for name, rotational in records["disk"]]
    state.foreign_sockets = sum(owner == "other" for _, _, owner in records["socket"])
    state.listeners = [listener for _, listener in records["listener"]]
    state.addresses = _read_addresses(records)
    state.cell_firewall = _only(records["cell-firewall"])
    for mark, holder in records["lease"]:
        state.lease_held, state.leaseholder = mark == "held", read_holder(holder)
    return state


Records = dict[str, list[list[str]]]

# What can stand in a file of apt's sources. One on a CD, for one, cannot, and is none of ours.
_ARCHIVE = re.compile(
    r"[a-z+]{1,20}:[!-~]{1,500} [A-Za-z0-9._/~+-]{1,200} [A-Za-z0-9._/~+-]{0,200}", re.ASCII
)


def _only(found: list[list[str]]) -> str | None:
    """The field of the one record that there is, or None."""
    return found[0][0] if found else None


def _read_places(records: Records) -> list[Place]:
    above = {(setting, path.rpartition("/")[0]) for setting, path, *_ in records["place"]}
    return [
        Place(setting, path, kind, mode, int(owner), (setting, path) in above)
        for setting, path, kind, mode, owner in records["place"]
    ]


def _read_boot_kernel(records: Records) -> str | None:
    if records["grub"]:
        saved = dict(line.partition("=")[::2] for (line,) in records["grub-env"])
        return grub_kernel([line for (line,) in records["grub"]], saved)
    entries = _only(records["boot-entries"])
    return None if entries is None else boot_entry_kernel(entries)


_WATTS = r"(?P<{}>[0-9]{{1,5}}(?:\.[0-9]{{1,3}})?|\[[A-Za-z/ ]{{1,30}}\])"
# As nvidia-smi prints them, separated by ", "; an older one without what follows the mode. A card
# that lacks something says "[N/A]" or "[Not Supported]".
_GPU = re.compile(
    r"(?P<index>[0-9]{1,3}), (?P<name>[ -~]{1,100}?), (?P<uuid>[A-Za-z0-9-]{1,80}), "
    r"(?P<memory>[0-9]{1,9}), (?P<driver>[0-9]{1,4}(?:\.[0-9]{1,6}){0,3}), "
    + ", ".join(_WATTS.format(name) for name in ("limit", "low", "high"))
    + r", (?P<persistence>[][A-Za-z/ ]{1,30})"
    r"(?:, (?P<bus>[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]), "
    + _WATTS.format("default")
    + r", (?P<ecc>[][A-Za-z/ ]{1,30}), (?P<throttling>0x[0-9a-fA-F]{1,16}|\[[A-Za-z/ ]{1,30}\]))?",
    re.ASCII,
)


_LATER = ("default", "ecc", "throttling")


def _read_gpu(line: str) -> GpuState:
    found = _GPU.fullmatch(line)
    if found is None:
        raise Unreadable(f"a card {quoted(line)}; expected what nvidia-smi prints of one")
    # nvidia-smi without the later fields, see the script.
    bus, default, ecc, throttling = (
        found[name] or missing
        for name, missing in (("bus", ""), *((each, "[N/A]") for each in _LATER))
    )
    return GpuState(
        index=int(found["index"]),
        name=found["name"],
        uuid=found["uuid"],
        memory=int(found["memory"]),
        driver_version=found["driver"],
        power_limit=_read_watts(found["limit"]),
        power_limit_minimum=_read_watts(found["low"]),
        power_limit_maximum=_read_watts(found["high"]),
        # A card without the mode says so otherwise.
        persistence=found["persistence"] != "Disabled",
        # nvidia-smi writes a domain of eight digits, the kernel one of four.
        bus=bus.lower().removeprefix("0000"),
        power_limit_default=_read_watts(default),
        ecc=None if ecc.startswith("[") else ecc == "Enabled",
        throttled_by=() if throttling.startswith("[") else throttle_reasons(int(throttling, 16)),
    )


def _read_watts(text: str) -> float | None:
    return None if text.startswith("[") else float(text)  # "[N/A]", "[Not Supported]"


def _read_files(records: Records, asked: frozenset[str] | None) -> dict[str, FileState]:
    hashes = {path: digest for digest, path in records["sha256"]}
    targets = {path: target for path, target in records["link"]}
    files = {
        path: FileState(kind, mode, owner, group, hashes.get(path), targets.get(path))
        for path, kind, mode, owner, group in records["stat"]
    }
    if asked is not None and (others := [path for path in files if path not in asked]):
        raise Unreadable(f"a file {quoted(others[0])}, which nobody asked for")
    return files


def _read_units(lines: list[str]) -> dict[str, dict[str, str]]:
    units: dict[str, dict[str, str]] = {}
    block: dict[str, str] = {}
    for line in [*lines, ""]:
        key, _, value = line.partition("=")
        if line and key not in block:
            block[key] = value
        elif line:
            raise Unreadable(f"a unit with two properties {key!r}")
        elif block:
            name = block.get("Id")
            if name is None or name in units:
                raise Unreadable(f"a unit {'without a name' if name is None else 'twice'}")
            units[name] = block
            block = {}
    return units


def _read_addresses(records: Records) -> dict[str, str]:
    try:
        return {str(IPv4Address(address)): name for name, address in records["address"]}
    except AddressValueError as error:
        raise Unreadable(f"an address that is none: {error}") from error
