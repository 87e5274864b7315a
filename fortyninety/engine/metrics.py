"""Read values of an engine's /metrics, whatever its release calls them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from fortyninety.engine import metric_names

# Characters of an answer that are read: 0.32.0 has 60,000 (measured on the CPU build).
LONGEST = 4 * 2**20

_SAMPLE = re.compile(
    r"(?P<name>[A-Za-z_:][A-Za-z0-9_:]{0,200})(?:\{[^\n]{0,4000}\})? "
    r"(?P<value>[+-]?[0-9.eE+-]{1,40})(?: [0-9]{1,20})?",
    re.ASCII,
)


@dataclass(frozen=True)
class Metrics:
    """What an engine says of itself; None where this release does not say it.

    Counters are since its start. `kv_usage` and `prefix_hit_share` are from 0 to 1.
    """

    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    prompt_tokens: float | None = None
    generated_tokens: float | None = None
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    prefix_hit_share: float | None = None
    preemptions: float | None = None
    finished: float | None = None


_NAMES: dict[str, tuple[str, ...]] = {
    field.name: getattr(metric_names, field.name.upper()) for field in fields(Metrics)
}
# What is read of an answer and nothing else.
WANTED = frozenset(name for names in _NAMES.values() for name in names)
# Of several engines behind one address (data parallel) the fullest counts, and not their sum.
_GREATEST = frozenset({"kv_usage", "prefix_hit_share"})


def read_metrics(text: str) -> Metrics:
    """The values in an answer of /metrics; what cannot be read is not there."""
    return metrics_of(_samples(text[:LONGEST].splitlines()))


def metrics_of(samples: Iterable[tuple[str, float]]) -> Metrics:
    """The values of samples by their names, those of several label sets added up."""
    found: dict[str, list[float]] = {}
    for name, value in samples:
        if name in WANTED and math.isfinite(value):
            found.setdefault(name, []).append(value)
    return Metrics(**{key: _value(key, names, found) for key, names in _NAMES.items()})


def _value(key: str, names: Iterable[str], found: Mapping[str, list[float]]) -> float | None:
    values = next((found[name] for name in names if name in found), None)
    if values is None:
        return None
    if key not in _GREATEST:
        return sum(values)
    # Without a prefix cache a V0 engine says -1.
    greatest = max(values)
    return greatest if 0 <= greatest <= 1 else None


def _samples(lines: Iterable[str]) -> Iterable[tuple[str, float]]:
    for line in lines:
        if (sample := _SAMPLE.fullmatch(line)) is not None:
            try:
                yield sample["name"], float(sample["value"])
            except ValueError:
                continue


def grown(before: float | None, after: float | None) -> float | None:
    """By how much a counter grew; None where it is unknown, or the engine started anew between."""
    if before is None or after is None or after < before:
        return None
    return after - before
