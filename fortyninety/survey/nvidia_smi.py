"""Read what nvidia-smi prints of a card."""

from __future__ import annotations

import re

from fortyninety.survey.reading import GpuState
from fortyninety.survey.records import Unreadable, quoted
from fortyninety.survey.throttling import throttle_reasons

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


def read_gpu(line: str) -> GpuState:
    """A card, from the line that nvidia-smi prints of it. Raises Unreadable."""
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
