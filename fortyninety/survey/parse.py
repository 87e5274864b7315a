"""Make a reading of the records that a host printed."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address

from fortyninety.lease import read_holder
from fortyninety.survey.boot_kernel import boot_entry_kernel, grub_kernel
from fortyninety.survey.kinds import KINDS
from fortyninety.survey.nvidia_smi import read_gpu
from fortyninety.survey.reading import (
    AptArchive,
    DkmsState,
    FileState,
    HostReading,
    PackageState,
    Place,
    ServedUnit,
)
from fortyninety.survey.records import Unreadable, parse_records, quoted
from fortyninety.survey.request import SurveyRequest


def read_survey(output: list[str], request: SurveyRequest | None = None) -> HostReading:
    """The reading of a host that printed these records, about what was asked for in `request`.

    Raises Unreadable where a record is not as the script writes it.
    """
    records = parse_records(output, KINDS)
    reading = HostReading()
    (
        (
            reading.distribution,
            reading.distribution_version,
            reading.codename,
            reading.distribution_name,
        ),
    ) = records["os"]
    if not reading.distribution:
        raise Unreadable("an os-release without an ID")
    ((reading.machine,),) = records["machine"]
    for name, flags in records["processor"]:
        reading.processor, reading.processor_flags = name, frozenset(flags.split())
    ((reading.boot_id,),) = records["boot"]
    reading.apt_archives = [
        AptArchive(entry.rpartition(":")[0], address, suite, component)
        for entry, address, suite, component in records["apt"]
        if _ARCHIVE.fullmatch(f"{address} {suite} {component}")
    ]
    reading.packages = {
        name: PackageState(version if status == "installed" else None, want == "hold")
        for name, version, want, status in records["package"]
    }
    reading.dpkg_interrupted = bool(records["dpkg-broken"])
    reading.keyring = tuple(fingerprint for (fingerprint,) in records["keyring"])
    reading.kernels = {kernel: version or None for kernel, version in records["kernel"]}
    reading.dkms = [DkmsState(version, kernel, mark) for version, kernel, mark in records["dkms"]]
    reading.boot_kernel = _read_boot_kernel(records)
    reading.secure_boot = _only(records["secure-boot"])
    reading.loaded_module = _only(records["loaded"])
    reading.libraries = {library: version for library, version in records["library"]}
    reading.pci_cards = [device for _, device in records["pci"]]
    reading.pci_addresses = [address for address, _ in records["pci"]]
    reading.nouveau_loaded = bool(records["nouveau"])
    reading.gpus = [read_gpu(line) for (line,) in records["gpu"]]
    gpu_error = _only(records["gpu-error"])
    reading.gpu_error = None if gpu_error is None else gpu_error.strip()
    reading.files = _read_files(records, None if request is None else frozenset(request.files))
    reading.user = _only(records["user"]) or None
    reading.user_groups = tuple((_only(records["groups"]) or "").split())
    reading.units = _read_units([line for (line,) in records["unit"]])
    reading.running_configuration = _only(records["running"])
    reading.sealed = {which: mark for which, mark in records["sealed"]}
    reading.environments = {name: mark == "whole" for name, mark in records["environment"]}
    reading.served = sorted(
        (ServedUnit(name, int(when), engine) for name, when, engine in records["served"]),
        key=lambda served: served.served_at,
        reverse=True,
    )
    reading.snapshot = _only(records["snapshot"])
    reading.second_copy = _only(records["second_copy"])
    reading.manifests = dict(records["manifest"])
    reading.snapshot_begun = int(_only(records["begun"]) or 0)
    reading.commits = [commit for (commit,) in records["commit"]]
    reading.leftovers = [name for (name,) in records["leftover"]]
    reading.snapshot_closed = bool(records["snapshot-closed"])
    reading.places = _read_places(records)
    for (options,) in records["install-options"]:
        reading.install_options = frozenset(options.split(","))
    ((reading.filesystem, free_bytes),) = records["filesystem"]
    reading.free_bytes = int(free_bytes)
    reading.disks = [(name, rotational == "1") for name, rotational in records["disk"]]
    reading.foreign_sockets = sum(owner == "other" for _, _, owner in records["socket"])
    reading.listeners = [listener for _, listener in records["listener"]]
    reading.addresses = _read_addresses(records)
    reading.cell_firewall = _only(records["cell-firewall"])
    for mark, holder in records["lease"]:
        reading.lease_held, reading.leaseholder = mark == "held", read_holder(holder)
    return reading


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
