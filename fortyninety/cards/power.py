"""Choose the power cap of each card, and say why a cap is impossible."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from fortyninety.cards.known import card_named
from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.survey.reading import GpuState, HostReading

# In W: one cap for every card, or one for each by its UUID or PCI address. Both survive what an
# index does not: cards are numbered anew when one is added, taken out or does not come up.
PowerLimit: TypeAlias = int | Mapping[str, int]

_PCI_ADDRESS = re.compile(
    r"(?:[0-9a-f]{4})?(?P<domain>[0-9a-f]{4}):(?P<slot>[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", re.I
)


def card_key(key: str) -> str:
    """A card's UUID as it is, or its PCI address as the kernel writes it.

    nvidia-smi writes capitals and a domain of eight digits: `00000000:01:00.0` is `0000:01:00.0`.
    """
    match = _PCI_ADDRESS.fullmatch(key)
    return f"{match['domain']}:{match['slot']}".lower() if match else key


def cap_of(power_limit: PowerLimit, gpu: GpuState) -> int | None:
    """The cap (W) that a card is to have; None where the settings name other cards alone."""
    if isinstance(power_limit, int):
        return power_limit
    caps = {card_key(key): cap for key, cap in power_limit.items()}
    return caps.get(gpu.uuid, caps.get(gpu.bus))


def caps_in_words(power_limit: PowerLimit) -> str:
    """The end of a sentence that begins with a verb: "every card at 400 W"."""
    if isinstance(power_limit, int):
        return f"every card at {power_limit} W"
    caps = " and ".join(f"{cap}" for cap in sorted(set(power_limit.values())))
    return f"each card at its own {caps} W"


def cap_arguments(power_limit: PowerLimit) -> list[str]:
    """The arguments of nvidia-smi that set the caps, one command a card or one for all."""
    if isinstance(power_limit, int):
        return [f"--power-limit={power_limit}"]
    return [f"--id={key} --power-limit={cap}" for key, cap in power_limit.items()]


def uncapped(reading: HostReading, power_limit: PowerLimit) -> list[str]:
    """What differs from the wanted caps, card by card; empty where every card has its own."""
    if not reading.cards.gpus:
        return [f"no card answers ({reading.cards.error or 'nvidia-smi shows none'})"]
    return [
        f"GPU {gpu.index} ({gpu.bus or gpu.uuid}) is capped at {gpu.power_limit} W; expected "
        f"{cap_of(power_limit, gpu)} W"
        for gpu in reading.cards.gpus
        if gpu.power_limit != cap_of(power_limit, gpu)
    ]


def forgetful(reading: HostReading) -> list[str]:
    """The cards that forget their cap as soon as nobody uses them: persistence mode is off."""
    return [
        f"GPU {gpu.index} ({gpu.bus or gpu.uuid}) has persistence mode off; expected on"
        for gpu in reading.cards.gpus
        if not gpu.persistence
    ]


def cap_settings_problems(host: str, settings: Settings) -> Iterator[Problem]:
    """Caps that no card of the settings' model can have, before the host is looked at."""
    known = card_named(settings.gpu_model)
    if known is None:
        return
    limit = settings.power_limit
    for key, cap in {"": limit}.items() if isinstance(limit, int) else limit.items():
        if not known.power.minimum <= cap <= known.power.maximum:
            yield Problem(
                host=host,
                subject=f"power_limit of {key}" if key else "power_limit",
                found=f"{cap} W",
                expected=f"from {known.power.minimum} to {known.power.maximum} W for "
                f"{known.product}",
            )


def cap_problems(host: str, settings: Settings, reading: HostReading) -> Iterator[Problem]:
    """Caps outside the cards' own limits, cards without a cap, and caps without a card.

    What a card takes is known once its driver answers; its PCI address, from the start.
    """
    limit = settings.power_limit
    if not isinstance(limit, int):
        yield from _naming_problems(host, limit, reading)
    for gpu in reading.cards.gpus:
        low, high = gpu.power_limit_minimum, gpu.power_limit_maximum
        cap = cap_of(limit, gpu)
        if low is None or high is None:
            yield Problem(
                host=host,
                subject=f"GPU {gpu.index}",
                found="without a power limit",
                expected="a card with one",
            )
        elif cap is not None and not gpu.takes(cap):
            yield Problem(
                host=host,
                subject="power_limit",
                found=f"{cap} W",
                expected=f"from {low:.0f} to {high:.0f} W, the own limits of GPU {gpu.index}",
            )


def _naming_problems(
    host: str, limit: Mapping[str, int], reading: HostReading
) -> Iterator[Problem]:
    keys = {card_key(key) for key in limit}
    uuids = {gpu.uuid for gpu in reading.cards.gpus}
    unknown = sorted(
        key
        for key in keys
        if key not in reading.cards.addresses
        and key not in uuids
        # Before there is a driver nobody knows the UUIDs.
        and (reading.cards.gpus or _PCI_ADDRESS.fullmatch(key))
    )
    if unknown:
        yield Problem(
            host=host,
            subject="power_limit",
            found=f"for {', '.join(unknown)}",
            expected=f"UUIDs or PCI addresses of its cards: {_names(reading)}",
        )
    for gpu in reading.cards.gpus:
        if gpu.uuid in keys and gpu.bus in keys:
            yield Problem(
                host=host,
                subject="power_limit",
                found=f"there twice for GPU {gpu.index}",
                expected="one cap a card",
            )
        elif gpu.uuid not in keys and gpu.bus not in keys:
            yield Problem(
                host=host,
                subject="power_limit",
                found=f"without GPU {gpu.index}",
                expected="a cap for every card",
                remedy=f"Its UUID is {gpu.uuid}, its PCI address {gpu.bus}",
            )
    if not reading.cards.gpus and len(limit) != len(reading.cards.devices) and not unknown:
        yield Problem(
            host=host,
            subject="power_limit",
            found=f"for {len(limit)} cards",
            expected=f"a cap for each of its {len(reading.cards.devices)} cards: {_names(reading)}",
        )


def _names(reading: HostReading) -> str:
    return ", ".join(
        [f"{gpu.uuid} ({gpu.bus})" for gpu in reading.cards.gpus]
        or reading.cards.addresses
        or ["none found"]
    )
