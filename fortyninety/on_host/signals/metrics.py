"""Every metric that is written, and how: Prometheus' text format, by the table below alone.

No dataclasses, typing or subprocess in this package: what is imported is paid for at every reading.
"""

PREFIX = "fortyninety_"
GAUGE, COUNTER = "gauge", "counter"


class Metric:
    """A metric: its name without the prefix, its kind, what it says, and its labels."""

    __slots__ = ("help", "kind", "labels", "name")

    def __init__(self, name: str, kind: str, text: str, *labels: str) -> None:
        self.name, self.kind, self.help, self.labels = name, kind, text, labels


_CARD = ("card", "uuid")
METRICS = (
    Metric("reading_timestamp_seconds", GAUGE, "When this was read, as Unix time."),
    Metric("reading_duration_seconds", GAUGE, "How long the reading took."),
    Metric("source_up", GAUGE, "Whether a source could be read (1) or not (0).", "source"),
    Metric(
        "nvidia_smi_state",
        GAUGE,
        "1 for how nvidia-smi ended: answered, failed, hung or missing.",
        "state",
    ),
    Metric("nvidia_smi_duration_seconds", GAUGE, "How long nvidia-smi took."),
    Metric("cards_wanted", GAUGE, "The cards that the last deploy found on the bus."),
    Metric("cards_on_bus", GAUGE, "The cards that are on the PCI bus now."),
    Metric("cards_answering", GAUGE, "The cards that nvidia-smi answered for."),
    Metric(
        "card_info",
        GAUGE,
        "1 for each card, with its name and place.",
        *_CARD,
        "name",
        "pci",
        "driver",
    ),
    Metric("card_memory_used_bytes", GAUGE, "Memory that processes hold.", *_CARD),
    Metric("card_memory_total_bytes", GAUGE, "Memory that the card has.", *_CARD),
    Metric("card_power_draw_watts", GAUGE, "What the card draws.", *_CARD),
    Metric("card_power_limit_watts", GAUGE, "The cap that is in force.", *_CARD),
    Metric("card_power_limit_wanted_watts", GAUGE, "The cap that the settings name.", *_CARD),
    Metric("card_power_limit_default_watts", GAUGE, "The cap that the card has by itself.", *_CARD),
    Metric("card_temperature_celsius", GAUGE, "The temperature of the chip.", *_CARD),
    Metric(
        "card_memory_temperature_celsius",
        GAUGE,
        "The temperature of the memory, where the card says it.",
        *_CARD,
    ),
    Metric("card_fan_speed_ratio", GAUGE, "The fan's intended speed, of its full one.", *_CARD),
    Metric("card_utilization_ratio", GAUGE, "The share of time that a kernel ran in.", *_CARD),
    Metric(
        "card_memory_utilization_ratio",
        GAUGE,
        "The share of time that memory was read or written in.",
        *_CARD,
    ),
    Metric("card_clock_hertz", GAUGE, "A clock: sm or memory.", *_CARD, "clock"),
    Metric("card_clock_max_hertz", GAUGE, "The highest that a clock can be.", *_CARD, "clock"),
    Metric(
        "card_throttle_active",
        GAUGE,
        "Whether a reason holds the clocks down (1) or not (0).",
        *_CARD,
        "reason",
    ),
    Metric("card_ecc_enabled", GAUGE, "Whether the memory corrects errors.", *_CARD),
    Metric(
        "card_ecc_errors_total",
        COUNTER,
        "Errors of memory since the driver was loaded: corrected or uncorrected.",
        *_CARD,
        "kind",
    ),
    Metric("card_pcie_generation", GAUGE, "The link's generation now, less when idle.", *_CARD),
    Metric("card_pcie_generation_max", GAUGE, "What card and slot can both do.", *_CARD),
    Metric("card_pcie_width_lanes", GAUGE, "The link's lanes now.", *_CARD),
    Metric("card_pcie_width_max_lanes", GAUGE, "The lanes that card and slot both have.", *_CARD),
    Metric("card_persistence_enabled", GAUGE, "Whether the driver stays loaded unused.", *_CARD),
    Metric(
        "xid_errors_total",
        COUNTER,
        "Errors of the driver (Xid) in the kernel's log since the boot.",
        "pci",
        "xid",
    ),
    Metric("xid_last_timestamp_seconds", GAUGE, "When a card's latest Xid was logged.", "pci"),
    Metric(
        "engine_info",
        GAUGE,
        "1, with what the box serves: environment and snapshot by the links that are live.",
        "release",
        "environment",
        "model",
        "repository",
        "snapshot",
    ),
    Metric(
        "engine_state",
        GAUGE,
        "1 for the engine's state: serving, silent, starting, restarting, stopped or failed.",
        "state",
    ),
    Metric("engine_restarts_total", COUNTER, "Restarts by systemd since somebody started it."),
    Metric("engine_start_timestamp_seconds", GAUGE, "When the engine's process was started."),
    Metric(
        "engine_advisory_info",
        GAUGE,
        "1 for each known vulnerability of the engine's release.",
        "advisory",
        "fixed_in",
    ),
    Metric(
        "completion_probe_up", GAUGE, "Whether the gateway's last real completion was answered."
    ),
    Metric(
        "front_up",
        GAUGE,
        "Whether the front answers and a box behind it is ready (1) or not (0).",
    ),
    Metric(
        "certificate_expiry_timestamp_seconds",
        GAUGE,
        "When a certificate ends that is served, or by which others know the host.",
        "certificate",
    ),
    Metric("drained", GAUGE, "Whether the box is drained (1) or not (0)."),
    Metric("drained_since_timestamp_seconds", GAUGE, "Since when it is drained."),
    Metric("drained_until_timestamp_seconds", GAUGE, "When it returns by itself."),
    Metric(
        "reboot_required",
        GAUGE,
        "Whether a reboot is due for a reason: packages, kernel or driver.",
        "reason",
    ),
    Metric(
        "check_timestamp_seconds",
        GAUGE,
        "When `fortyninety check --record` last looked: a whole check, or a partial one.",
        "check",
    ),
    Metric("check_tests", GAUGE, "How its tests ended: how many.", "check", "outcome"),
)
_BY_NAME = {each.name: each for each in METRICS}


class Samples:
    """Values of metrics, as they are found."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, str]] = {}

    def add(self, name: str, value: float | bool | None, *labels: str) -> None:
        """One value; None is none. `labels` are as the table has their names."""
        metric = _BY_NAME[name]
        if len(labels) != len(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, not {labels}")
        if value is None:
            return
        pairs = zip(metric.labels, labels, strict=True)
        inside = ",".join(f'{key}="{escaped(text)}"' for key, text in pairs)
        self._found.setdefault(name, {})[f"{{{inside}}}" if inside else ""] = written(value)

    def text(self) -> str:
        """All of them in Prometheus' text format, in the order of the table."""
        lines: list[str] = []
        for metric in METRICS:
            found = self._found.get(metric.name)
            if found:
                name = PREFIX + metric.name
                lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
                lines += [f"{name}{labels} {value}" for labels, value in found.items()]
        return "\n".join(lines) + "\n"


def written(value: float | bool) -> str:
    """A number as Prometheus reads it."""
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def escaped(text: str) -> str:
    """A label's value: printable, bounded, and with nothing that ends it."""
    shown = "".join(each if " " <= each <= "~" else "?" for each in text[:200])
    return shown.replace("\\", "\\\\").replace('"', '\\"')
