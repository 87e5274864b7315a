"""Decode why a card's clocks are held down, from the driver's bits."""

from __future__ import annotations

# nvmlClocksEventReason* of nvml.h (branch 550). Left out is what is no trouble: an idle card's low
# clocks (0x1), clocks that an application set (0x2), and those of a display (0x100).
_REASONS = {
    0x4: "its power cap",
    0x8: "the hardware (heat, power or both)",
    0x10: "the clocks of a sync group",
    0x20: "the driver, for heat",
    0x40: "the hardware, for heat",
    0x80: "the hardware, for power (a cable, or the power supply)",
}


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """What holds a card's clocks down, in words, from `clocks_event_reasons.active`."""
    return tuple(reason for bit, reason in _REASONS.items() if bits & bit)
