"""Make a reading of the records that a host printed."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address, ip_address
from typing import cast

from fortyninety.lease import read_holder
from fortyninety.on_host.drain.state import parse as parse_drained
from fortyninety.survey.boot_kernel import boot_entry_kernel, grub_kernel
from fortyninety.survey.kinds import KINDS
from fortyninety.survey.nvidia_smi import read_gpu
from fortyninety.survey.reading import (
    AccountReading,
    AptArchive,
    AptReading,
    CardsReading,
    CertificateReading,
    Condition,
    DiskReading,
    DkmsMark,
    DkmsState,
    DriverReading,
    FileState,
    FirewallReading,
    FoldersReading,
    GatewayReading,
    HostReading,
    KernelsReading,
    LeaseReading,
    ModuleKey,
    NetworkReading,
    OsReading,
    PackageState,
    Place,
    ProcessorReading,
    Seal,
    ServedUnit,
    ServiceReading,
    SnapshotReading,
)
from fortyninety.survey.records import Unreadable, parse_records, quoted
from fortyninety.survey.request import SurveyRequest

Records = dict[str, list[list[str]]]


def read_survey(output: list[str], request: SurveyRequest | None = None) -> HostReading:
    """The reading of a host that printed these records, about what was asked for in `request`.

    Raises Unreadable where a record is not as the script writes it.
    """
    records = parse_records(output, KINDS)
    return HostReading(
        os=_read_os(records),
        processor=_read_processor(records),
        apt=_read_apt(records),
        kernels=_read_kernels(records),
        driver=DriverReading(
            module=_only(records["loaded"]),
            libraries=dict(records["library"]),
            nouveau=bool(records["nouveau"]),
        ),
        cards=_read_cards(records),
        files=_read_files(records, None if request is None else frozenset(request.files)),
        account=AccountReading(
            entry=_only(records["user"]) or None,
            groups=tuple((_only(records["groups"]) or "").split()),
        ),
        service=_read_service(records),
        snapshot=_read_snapshot(records),
        folders=_read_folders(records),
        disk=_read_disk(records),
        network=_read_network(records),
        gateway=_read_gateway(records),
        front=_read_front(records),
        monitor_identity=_read_certificate(records, "monitor-identity"),
        firewall=_read_firewall(records),
        lease=_read_lease(records),
    )


def _read_os(records: Records) -> OsReading:
    ((distribution, version, codename, name),) = records["os"]
    if not distribution:
        raise Unreadable("an os-release without an ID")
    ((machine,),) = records["machine"]
    ((boot_id,),) = records["boot"]
    uid = next((int(number) for (number,) in records["uid"]), None)
    return OsReading(distribution, version, codename, name, machine, boot_id, uid)


def _read_processor(records: Records) -> ProcessorReading:
    for name, flags in records["processor"]:
        return ProcessorReading(name, frozenset(flags.split()))
    return ProcessorReading()


def _read_apt(records: Records) -> AptReading:
    return AptReading(
        archives=[
            AptArchive(entry.rpartition(":")[0], address, suite, component)
            for entry, address, suite, component in records["apt"]
            if _ARCHIVE.fullmatch(f"{address} {suite} {component}")
        ],
        packages={
            name: PackageState(version if status == "installed" else None, want == "hold")
            for name, version, want, status in records["package"]
        },
        interrupted=bool(records["dpkg-broken"]),
        keyring=tuple(fingerprint for (fingerprint,) in records["keyring"]),
    )


def _read_kernels(records: Records) -> KernelsReading:
    return KernelsReading(
        modules={kernel: version or None for kernel, version in records["kernel"]},
        # Here and below: that a word is one of its type's is in the form of its record.
        dkms=[
            DkmsState(version, kernel, cast(DkmsMark, mark))
            for version, kernel, mark in records["dkms"]
        ],
        chosen=_read_boot_kernel(records),
        secure_boot=cast(ModuleKey | None, _only(records["secure-boot"])),
        behind=tuple(kernel for (kernel,) in records["initramfs-older"]),
    )


def _read_cards(records: Records) -> CardsReading:
    error = _only(records["gpu-error"])
    return CardsReading(
        devices=[device for _, device in records["pci"]],
        addresses=[address for address, _ in records["pci"]],
        gpus=[read_gpu(line) for (line,) in records["gpu"]],
        error=None if error is None else error.strip(),
    )


def _read_service(records: Records) -> ServiceReading:
    served = (ServedUnit(name, int(when), engine) for name, when, engine in records["served"])
    return ServiceReading(
        units=_read_units([line for (line,) in records["unit"]]),
        configuration=_only(records["running"]),
        environments={name: mark == "whole" for name, mark in records["environment"]},
        sealed={which: cast(Seal, mark) for which, mark in records["sealed"]},
        altered=[name for (name,) in records["altered"]],
        served=sorted(served, key=lambda each: each.served_at, reverse=True),
    )


def _read_snapshot(records: Records) -> SnapshotReading:
    return SnapshotReading(
        condition=cast(Condition | None, _only(records["snapshot"])),
        second_copy=cast(Condition | None, _only(records["second_copy"])),
        manifests=dict(records["manifest"]),
        begun=int(_only(records["begun"]) or 0),
        commits=[commit for (commit,) in records["commit"]],
        leftovers=[name for (name,) in records["leftover"]],
        closed=bool(records["snapshot-closed"]),
    )


def _read_folders(records: Records) -> FoldersReading:
    above = {(setting, path.rpartition("/")[0]) for setting, path, *_ in records["place"]}
    places = [
        Place(setting, path, kind, mode, int(owner), (setting, path) in above)
        for setting, path, kind, mode, owner in records["place"]
    ]
    options = _only(records["install-options"])
    return FoldersReading(places, frozenset() if options is None else frozenset(options.split(",")))


def _read_disk(records: Records) -> DiskReading:
    ((filesystem, free_bytes),) = records["filesystem"]
    drives = [(name, rotational == "1") for name, rotational in records["disk"]]
    return DiskReading(filesystem, int(free_bytes), drives)


def _read_network(records: Records) -> NetworkReading:
    return NetworkReading(
        foreign_sockets=sum(owner == "other" for _, _, owner in records["socket"]),
        listeners=[listener for _, listener in records["listener"]],
        addresses=_read_addresses(records),
        cell_firewall=_only(records["cell-firewall"]),
        ipv6=bool(records["ipv6"]),
    )


def _read_gateway(records: Records) -> GatewayReading:
    own = _read_haproxy(records, "gateway")
    return replace(
        own,
        account=_only(records["gateway-account"]) or None,
        # As the gateway itself: what cannot be understood keeps nobody from the box.
        drained=parse_drained(_only(records["drained"]) or ""),
    )


def _read_front(records: Records) -> GatewayReading:
    own = _read_haproxy(records, "front")
    return replace(own, identity=_read_certificate(records, "front-identity"))


def _read_haproxy(records: Records, kind: str) -> GatewayReading:
    loaded = [(each[0], each[1], each[2]) for each in records[f"{kind}-loaded"]]
    return GatewayReading(
        unit=_only(records[f"{kind}-unit"]),
        loaded=loaded[0] if loaded else None,
        certificate=_read_certificate(records, f"{kind}-certificate"),
        foreign_sockets=sum(owner == "other" for _, _, owner in records[f"{kind}-socket"]),
        listeners=[listener for _, listener in records[f"{kind}-listener"]],
    )


def _read_certificate(records: Records, kind: str) -> CertificateReading:
    mark, pem = next(iter(records[kind]), (None, None))
    return CertificateReading(
        certificates=None if pem is None else pem.replace("|", "\n"), whole=mark == "whole"
    )


def _read_firewall(records: Records) -> FirewallReading:
    ports = tuple(int(port) for (port,) in records["ssh-port"])
    if any(port > 65535 for port in ports):
        raise Unreadable(f"a port {max(ports)}, which there is not")
    came_from = _only(records["came-from"])
    digest, mark = records["firewall"][0] if records["firewall"] else (None, "same")
    return FirewallReading(
        ssh_ports=tuple(sorted(ports)),
        came_from=None if came_from is None else _read_address(came_from),
        digest=digest,
        changed=mark == "changed",
        others=tuple(" ".join(words.split()) for (words,) in records["other-firewall"]),
    )


def _read_lease(records: Records) -> LeaseReading:
    for mark, holder in records["lease"]:
        return LeaseReading(mark == "held", read_holder(holder))
    return LeaseReading()


# What can stand in a file of apt's sources. One on a CD, for one, cannot, and is none of ours.
_ARCHIVE = re.compile(
    r"[a-z+]{1,20}:[!-~]{1,500} [A-Za-z0-9._/~+-]{1,200} [A-Za-z0-9._/~+-]{0,200}", re.ASCII
)


def _only(found: list[list[str]]) -> str | None:
    """The field of the one record that there is, or None."""
    return found[0][0] if found else None


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


def _read_address(text: str) -> str:
    """An address without the interface of its link, and IPv4 as itself."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError as error:
        raise Unreadable(f"an address that is none: {error}") from error
    return str(getattr(address, "ipv4_mapped", None) or address)


def _read_addresses(records: Records) -> dict[str, str]:
    try:
        return {str(IPv4Address(address)): name for name, address in records["address"]}
    except AddressValueError as error:
        raise Unreadable(f"an address that is none: {error}") from error
