"""The simulated cards of a host: what they are, and the files that describe them to the host."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError

_NVIDIA_VENDOR = "0x10de"
_VGA_CONTROLLER_CLASS = "0x030000"


@dataclass(frozen=True)
class Model:
    """What all cards of one name share. Power in watts."""

    name: str
    pci_device: str
    memory_mib: int
    power_minimum: int
    power_default: int
    power_maximum: int


# PCI device ids from the PCI ID database; memory as nvidia-smi reports it. Power limits are set by
# the board maker in the card's BIOS and differ between boards of one model: these are one board's.
MODELS = {
    model.name: model
    for model in (
        Model("NVIDIA GeForce RTX 4090", "0x2684", 24564, 150, 450, 600),
        Model("NVIDIA GeForce RTX 4090 D", "0x2685", 24564, 150, 425, 600),
        Model("NVIDIA GeForce RTX 3090", "0x2204", 24576, 100, 350, 400),
        Model("NVIDIA GeForce RTX 3060", "0x2504", 12288, 100, 170, 212),
    )
}
DEFAULT_MODEL = MODELS["NVIDIA GeForce RTX 4090"]


@dataclass(frozen=True)
class Card:
    """One simulated card of one host."""

    name: str
    memory_mib: int
    uuid: str
    pci_address: str
    pci_device: str
    power_minimum: int
    power_default: int
    power_maximum: int

    def to_json(self) -> dict[str, str | int]:
        """The card as plain values."""
        return asdict(self)


def parse(spec: str, host: str) -> tuple[Card, ...]:
    """Make HOST's cards from a spec.

    `2x24564` is two RTX 4090 of 24,564 MiB, `1xNVIDIA GeForce RTX 3090` one of another model,
    `2xNVIDIA GeForce RTX 4090:24564` says both, `none` is a host without cards, and specs joined
    with commas put different cards into one host.
    """
    if spec.strip() == "none":
        return ()
    models: list[tuple[Model, int]] = []
    for part in spec.split(","):
        count, model, memory_mib = _parse_part(part.strip(), spec)
        models += [(model, memory_mib)] * count
    return tuple(
        Card(
            name=model.name,
            memory_mib=memory_mib,
            # Stable for a host and slot, so that a host made again has the same cards.
            uuid=f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{host}.{slot}.fortyninety-lab')}",
            # Slot 0 is the host's own; each card sits behind a root port of its own.
            pci_address=f"0000:{slot + 1:02x}:00.0",
            pci_device=model.pci_device,
            power_minimum=model.power_minimum,
            power_default=model.power_default,
            power_maximum=model.power_maximum,
        )
        for slot, (model, memory_mib) in enumerate(models)
    )


def write_pci_devices(directory: Path, cards: Iterable[Card]) -> None:
    """Write what the lab binds over /sys/bus/pci/devices: one folder a card."""
    _make_empty(directory)
    for card in cards:
        device = directory / card.pci_address
        device.mkdir()
        (device / "vendor").write_text(f"{_NVIDIA_VENDOR}\n")
        (device / "device").write_text(f"{card.pci_device}\n")
        (device / "class").write_text(f"{_VGA_CONTROLLER_CLASS}\n")


def write_kernel_modules(directory: Path) -> None:
    """Write what the lab binds over /sys/module: the version of the driver in memory, if it is.

    A link into what the host's boot decided, so that no boot finds what another one loaded.
    """
    (directory / "nvidia").mkdir(parents=True)
    (directory / "nvidia" / "version").symlink_to("/run/lab-gpu/state/driver_version")


def write_cards(directory: Path, cards: Iterable[Card]) -> None:
    """Write what the stand-in NVML library reads: one folder a card, one file a value.

    Powers are in milliwatts here, as in NVML itself.
    """
    _make_empty(directory)
    for index, card in enumerate(cards):
        folder = directory / str(index)
        folder.mkdir()
        values = {
            "name": card.name,
            "uuid": card.uuid,
            "memory_mib": card.memory_mib,
            "pci_address": card.pci_address,
            "pci_device": card.pci_device,
            "power_minimum_mw": card.power_minimum * 1000,
            "power_default_mw": card.power_default * 1000,
            "power_maximum_mw": card.power_maximum * 1000,
        }
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n")


def _parse_part(part: str, spec: str) -> tuple[int, Model, int]:
    match = re.fullmatch(r"([1-9]\d?)x(?:(\d+)|([^:]+?)(?::(\d+))?)", part)
    if not match:
        raise LabError(
            f"card spec {spec!r}: {part!r} is not COUNTxMEMORY_MIB, COUNTxMODEL or "
            "COUNTxMODEL:MEMORY_MIB; for example 2x24564 or '2xNVIDIA GeForce RTX 4090:24564'"
        )
    model = DEFAULT_MODEL
    if match[3]:
        if match[3] not in MODELS:
            raise LabError(
                f"card spec {spec!r}: model {match[3]!r} is not known; known: {', '.join(MODELS)}"
            )
        model = MODELS[match[3]]
    memory = match[2] or match[4]
    return int(match[1]), model, int(memory) if memory else model.memory_mib


def _make_empty(directory: Path) -> None:
    """Empty a directory without replacing it: a running host may have it bound."""
    directory.mkdir(parents=True, exist_ok=True)
    for child in directory.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()
