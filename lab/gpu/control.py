"""Make a host's simulated cards misbehave, and read what they remember, from outside."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from lab import paths
from lab.gpu import cards
from lab.hosts import LabHost

# NVML_ERROR_UNKNOWN in nvml.h: what a driver says when a card does not do as it is told.
UNKNOWN_ERROR = 999
# NVML_ERROR_GPU_IS_LOST in nvml.h: the card has fallen off the bus.
GPU_IS_LOST = 15


class Call(StrEnum):
    """The calls that can be made to fail."""

    INITIALISE = "init"
    SET_POWER_LIMIT = "set_power_limit"
    SET_PERSISTENCE_MODE = "set_persistence_mode"


def fail(host: str, call: Call, result: int = UNKNOWN_ERROR) -> None:
    """From now on CALL ends with RESULT, an NVML return code, on every card of HOST.

    Stays over reboots, as a defect does, until `repair`.
    """
    faults = _directory(host) / "faults"
    faults.mkdir(parents=True, exist_ok=True)
    (faults / call).write_text(f"{result}\n")


def repair(host: str) -> None:
    """Every call works again."""
    for fault in (_directory(host) / "faults").glob("*"):
        fault.unlink()


def driver_version(host: str) -> str | None:
    """The driver that HOST's last boot loaded; None when no module was built by then."""
    recorded = _directory(host) / "state" / "driver_version"
    return recorded.read_text().strip() if recorded.exists() else None


def power_limit_watts(host: str, index: int) -> int | None:
    """The power limit set on a card since HOST's last boot; None when it has the default."""
    recorded = _directory(host) / "state" / str(index) / "power_limit_mw"
    return int(recorded.read_text()) // 1000 if recorded.exists() else None


def load_driver(host: str, version: str) -> None:
    """The driver in memory is VERSION until the next boot.

    As after a background upgrade, which replaces module and libraries on disk alone.
    """
    (_directory(host) / "state" / "driver_version").write_text(f"{version}\n")


def load_nouveau(host: str) -> None:
    """The kernel's own driver holds the cards, until a boot that may not load it."""
    (_directory(host) / "state" / "driver_version").unlink(missing_ok=True)
    (paths.host_directory(host) / "modules" / "nouveau").mkdir(exist_ok=True)


def reload_driver(host: str) -> None:
    """The cards forget what they were told, as when the driver's module is loaded anew."""
    for folder in (_directory(host) / "state").glob("[0-9]*"):
        for remembered in folder.iterdir():
            remembered.unlink()


def cards_at_next_boot(host: str, kept: Collection[int]) -> None:
    """From HOST's next boot on it has those of its cards with the numbers KEPT, and no others."""
    ready = paths.host_directory(host) / "next-boot"
    own = cards.parse(LabHost.read(host).cards, host)
    chosen = [card for number, card in enumerate(own) if number in kept]
    cards.write_pci_devices(ready / "pci", chosen)
    cards.write_cards(ready / "gpu" / "cards", chosen)


def _directory(host: str) -> Path:
    return paths.host_directory(host) / "gpu"
