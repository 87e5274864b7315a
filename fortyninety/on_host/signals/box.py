"""Say how the box itself is: drained, or to be rebooted."""

import json
import os
import re

from fortyninety.on_host.signals.metrics import Samples

DRAINED = "/var/lib/fortyninety/drained.json"
REBOOT = "/run/reboot-required"
BOOT = "/boot"
MODULE = "/sys/module/nvidia/version"
LIBRARY = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
MOST = 64 * 1024


def read_box(samples: Samples) -> None:
    """What stands in the box's own files."""
    drained = noted(DRAINED)
    samples.add("drained", drained is not None)
    if drained:
        for key in ("since", "until"):
            samples.add(f"drained_{key}_timestamp_seconds", moment(drained.get(key)))
    samples.add("reboot_required", os.path.exists(REBOOT), "packages")
    samples.add("reboot_required", newer_kernel(os.uname().release, BOOT), "kernel")
    samples.add("reboot_required", another_driver(MODULE, LIBRARY), "driver")


def noted(path: str) -> dict[str, object] | None:
    """What a file of JSON says; {} where it cannot be read, None where there is none."""
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read(MOST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def moment(value: object) -> float | None:
    """A number of at least 0, and no other."""
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if whole and 0 <= value < 1e12 else None  # type: ignore[arg-type,operator]


def newer_kernel(running: str, boot: str) -> bool | None:
    """Whether a newer kernel than the running one is there; None where that is not of this disk."""
    try:
        found = [name[8:] for name in os.listdir(boot) if name.startswith("vmlinuz-")]
    except OSError:
        return None
    if running not in found:
        return None
    return any(_ordered(each) > _ordered(running) for each in found)


def _ordered(version: str) -> list[tuple[int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    return [(int(each), "") if each.isdigit() else (-1, each) for each in parts]


def another_driver(module: str, library: str) -> bool | None:
    """Whether the driver in memory is another than the one on disk; None where either is absent."""
    try:
        with open(module, encoding="ascii") as stream:
            loaded = stream.readline(64).strip()
    except (OSError, ValueError):
        return None
    on_disk = os.path.realpath(library).rpartition(".so.")[2]
    return loaded != on_disk if re.fullmatch(r"[0-9]+(\.[0-9]+)+", on_disk) else None
