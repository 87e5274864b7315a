"""Compare the installed driver with the one in memory: is a reboot needed, and is it allowed?

Pure: what a reading of the host says, and what follows from it.
"""

from __future__ import annotations

from fortyninety.driver.secure_boot import module_refused
from fortyninety.survey.reading import GpuState, HostReading


def why_reboot(reading: HostReading, installed: str | None) -> str | None:
    """Why only a reboot brings the `installed` version (None: no driver) to the cards, or None."""
    if reading.driver.nouveau:
        return f"nouveau holds the cards, and driver {installed} is installed"
    loaded = reading.loaded_driver
    if loaded is None:
        return f"driver {installed} is installed and none is in memory"
    if loaded != installed:
        return f"driver {installed} is installed and {loaded} is in memory"
    return None


def foreign_libraries(reading: HostReading, installed: str | None) -> str | None:
    """What is wrong where programs load libraries of another driver than the `installed` one.

    Nothing can use the cards then ("Driver/library version mismatch"), and no reboot helps.
    """
    others = [
        f"{name} {of}" for name, of in sorted(reading.driver.libraries.items()) if of != installed
    ]
    if not others:
        return None
    return (
        f"programs load {' and '.join(others)}; expected those of driver {installed}, whose module "
        "is installed. See which package they are of (`dpkg -S`), and bring it to the module's "
        "version"
    )


def boot_obstacle(host: str, reading: HostReading, installed: str | None) -> str | None:
    """Why the host must not be rebooted: its cards would be without a driver afterwards."""
    kernel = reading.kernels.next
    built = reading.kernels.modules.get(kernel) if kernel else None
    if installed is None or built != installed:
        made = [
            f"{each.version} {each.mark}"
            for each in reading.kernels.dkms
            if each.kernel in (kernel, "") or each.mark == "failed"
        ]
        return (
            f"the kernel that boots next, {kernel}, has NVIDIA module {built or 'none'}; expected "
            f"{installed or 'that of an installed driver'}. DKMS: {', '.join(made) or 'nothing'}. "
            f"See /var/lib/dkms/*/*/build/make.log, then `dkms autoinstall -k {kernel}`"
        )
    if (
        reading.loaded_driver != installed
        and (refused := module_refused(host, reading)) is not None
    ):
        return str(refused)
    return None


def lost_cards(before: HostReading, now: HostReading) -> str | None:
    """Which cards were there before a reboot and are not after it, and what to look at; or None."""
    uuids = {gpu.bus: gpu for gpu in before.cards.gpus}
    gone = [each for each in before.cards.addresses if each not in now.cards.addresses]
    if gone:
        return (
            f"after the reboot {_cards(gone, uuids)} is missing; expected the "
            f"{len(before.cards.addresses)} cards that were there before, found "
            f"{', '.join(now.cards.addresses) or 'none'}. Check that it is seated and powered "
            "(`lspci -d 10de:`), or take it out of the plan (gpu_count, tensor_parallel_size)"
        )
    answering = {gpu.bus for gpu in now.cards.gpus}
    mute = [each for each in now.cards.addresses if each not in answering]
    if now.cards.gpus and all(answering) and mute:
        return (
            f"after the reboot {_cards(mute, uuids)} is on the bus, and the driver does not show "
            f"it; expected {len(now.cards.addresses)} cards, found {len(now.cards.gpus)}. Look at "
            "`dmesg | grep -i -E 'nvrm|xid'` for its reason"
        )
    return None


def _cards(addresses: list[str], known: dict[str, GpuState]) -> str:
    return " and ".join(
        f"card {address} ({known[address].uuid})" if address in known else f"card {address}"
        for address in addresses
    )
