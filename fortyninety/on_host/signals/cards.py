"""Read the cards by nvidia-smi, and by the bus, which shows them also where no driver answers."""

import os
import re

from fortyninety.on_host.signals.ask import ask
from fortyninety.on_host.signals.metrics import Samples

NVIDIA_SMI = "/usr/bin/nvidia-smi"
# With persistence mode off the driver is loaded first, which takes seconds with eight cards.
PATIENCE = 12.0
MOST = 256 * 1024
MOST_CARDS = 16
BUS = "/sys/bus/pci/devices"
MIB = 1024 * 1024
MHZ = 1_000_000

# The name comes last: it is the only field that could hold what separates them.
FIELDS = (
    *("index", "uuid", "pci.bus_id", "driver_version", "memory.used", "memory.total"),
    *("power.draw", "power.limit", "power.default_limit", "temperature.gpu", "temperature.memory"),
    *("fan.speed", "utilization.gpu", "utilization.memory"),
    *("clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem"),
    *("ecc.mode.current", "ecc.errors.corrected.volatile.total"),
    *("ecc.errors.uncorrected.volatile.total", "pcie.link.gen.current", "pcie.link.gen.max"),
    *("pcie.link.width.current", "pcie.link.width.max", "persistence_mode"),
    *("clocks_event_reasons.active", "name"),
)
# What drivers before 535 call the last but one.
EARLIER = {"clocks_event_reasons.active": "clocks_throttle_reasons.active"}

# nvmlClocksEventReason* of nvml.h.
REASONS = {
    0x1: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hardware",
    0x10: "sync_boost",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "power_brake",
    0x100: "display_clocks",
}
# The metric of a field that is a number, and by what it is multiplied.
NUMBERS = {
    "memory.used": ("card_memory_used_bytes", MIB),
    "memory.total": ("card_memory_total_bytes", MIB),
    "power.draw": ("card_power_draw_watts", 1),
    "power.limit": ("card_power_limit_watts", 1),
    "power.default_limit": ("card_power_limit_default_watts", 1),
    "temperature.gpu": ("card_temperature_celsius", 1),
    "temperature.memory": ("card_memory_temperature_celsius", 1),
    "fan.speed": ("card_fan_speed_ratio", 0.01),
    "utilization.gpu": ("card_utilization_ratio", 0.01),
    "utilization.memory": ("card_memory_utilization_ratio", 0.01),
    "pcie.link.gen.current": ("card_pcie_generation", 1),
    "pcie.link.gen.max": ("card_pcie_generation_max", 1),
    "pcie.link.width.current": ("card_pcie_width_lanes", 1),
    "pcie.link.width.max": ("card_pcie_width_max_lanes", 1),
}
CLOCKS = {
    "clocks.sm": ("card_clock_hertz", "sm"),
    "clocks.mem": ("card_clock_hertz", "memory"),
    "clocks.max.sm": ("card_clock_max_hertz", "sm"),
    "clocks.max.mem": ("card_clock_max_hertz", "memory"),
}
SWITCHES = {
    "ecc.mode.current": "card_ecc_enabled",
    "persistence_mode": "card_persistence_enabled",
}
ECC = {
    "ecc.errors.corrected.volatile.total": "corrected",
    "ecc.errors.uncorrected.volatile.total": "uncorrected",
}

_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,4})?", re.ASCII)
_BITS = re.compile(r"0x[0-9a-fA-F]{1,16}", re.ASCII)
_UUID = re.compile(r"[A-Za-z0-9-]{1,80}", re.ASCII)
_PCI = re.compile(r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7]", re.ASCII)


def read_cards(known: dict[str, object], state: dict[str, object], samples: Samples) -> bool:
    """What the driver and the bus say of the cards; False where the driver does not answer.

    `state` remembers an nvidia-smi that hangs.
    """
    wanted = known.get("cards")
    samples.add("cards_wanted", wanted if isinstance(wanted, int) else None)
    samples.add("cards_on_bus", cards_on_bus())
    how, text, seconds = _asked(state)
    for each in ("answered", "failed", "hung", "missing"):
        samples.add("nvidia_smi_state", how == each, each)
    samples.add("nvidia_smi_duration_seconds", None if seconds is None else round(seconds, 4))
    caps = known.get("power_limits")
    cards = list(parse_cards(text))
    samples.add("cards_answering", len(cards))
    for card in cards:
        add_card(card, caps if isinstance(caps, dict) else {}, samples)
    return how == "answered" or wanted == 0


def _asked(state: dict[str, object]) -> tuple[str, str, float | None]:
    before = state.get("hung")
    if isinstance(before, list) and len(before) == 2 and _is_there(*before):
        return "hung", "", None
    state.pop("hung", None)
    fields = ",".join(FIELDS)
    for earlier in (False, True):
        if earlier:
            for name, other in EARLIER.items():
                fields = fields.replace(name, other)
        answer = ask(
            [NVIDIA_SMI, f"--query-gpu={fields}", "--format=csv,noheader,nounits"],
            seconds=PATIENCE,
            most=MOST,
        )
        if "is not a valid field" not in answer.text:
            break
    if answer.left:
        state["hung"] = [answer.left, _started(answer.left)]
    return answer.state, answer.text, answer.seconds


def _is_there(process: object, started: object) -> bool:
    return isinstance(process, int) and _started(process) == started


def _started(process: int) -> str:
    """When a process was started, in the kernel's ticks, which tells it from a later namesake."""
    try:
        with open(f"/proc/{process}/stat", "rb") as stream:
            return stream.read(4096).rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError, ValueError):
        return ""


def parse_cards(text: str) -> list[dict[str, str]]:
    """The fields of each card, of lines that have the form."""
    found = []
    for line in text.splitlines()[: 4 * MOST_CARDS]:
        values = [each.strip() for each in line.split(",", len(FIELDS) - 1)]
        card = dict(zip(FIELDS, values, strict=False))
        whole = len(values) == len(FIELDS) and _number(card["index"]) is not None
        if whole and _UUID.fullmatch(card["uuid"]) and _PCI.fullmatch(card["pci.bus_id"]):
            found.append(card)
    return found[:MOST_CARDS]


def add_card(card: dict[str, str], caps: dict[str, object], samples: Samples) -> None:
    """The values of one card; what it does not have has none."""
    pci = as_kernel_writes(card["pci.bus_id"])
    labels = (card["index"], card["uuid"])
    samples.add("card_info", 1, *labels, card["name"], pci, card["driver_version"])
    for field, (metric, factor) in NUMBERS.items():
        value = _number(card[field])
        samples.add(metric, None if value is None else round(value * factor, 4), *labels)
    for field, (metric, clock) in CLOCKS.items():
        value = _number(card[field])
        samples.add(metric, None if value is None else value * MHZ, *labels, clock)
    for field, metric in SWITCHES.items():
        switch = {"Enabled": True, "Disabled": False}.get(card[field])
        samples.add(metric, switch, *labels)
    for field, kind in ECC.items():
        samples.add("card_ecc_errors_total", _number(card[field]), *labels, kind)
    if _BITS.fullmatch(card["clocks_event_reasons.active"]):
        bits = int(card["clocks_event_reasons.active"], 16)
        for bit, reason in REASONS.items():
            samples.add("card_throttle_active", bool(bits & bit), *labels, reason)
    cap = caps.get(card["uuid"], caps.get(pci, caps.get("")))
    samples.add("card_power_limit_wanted_watts", cap if isinstance(cap, int) else None, *labels)


def as_kernel_writes(address: str) -> str:
    """A PCI address in small letters and with a domain of four digits."""
    domain, _, rest = address.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def cards_on_bus(bus: str = BUS) -> int | None:
    """How many displays and 3D controllers of NVIDIA's are on the bus."""
    count = 0
    try:
        names = os.listdir(bus)
    except OSError:
        return None
    for name in names:
        vendor, kind = (_line(f"{bus}/{name}/{each}") for each in ("vendor", "class"))
        if vendor == "0x10de" and kind.startswith(("0x0300", "0x0302")):
            count += 1
    return count


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.readline(64).strip()
    except (OSError, ValueError):
        return ""


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
