"""The series that a box exports, as they were recorded, for promtool's tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
RELEASES = ("0.8.5.post1", "0.32.0")
# Which page of a box a file is.
PAGES = {"node": "node", "haproxy": "gateway", "tenants": "engine"}

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Series:
    """One series of a page, with the value that it had."""

    name: str
    labels: Mapping[str, str]
    value: float

    def __str__(self) -> str:
        inner = ",".join(f'{key}="{value}"' for key, value in self.labels.items())
        return f"{self.name}{{{inner}}}"


def recorded(release: str, box: str = "box-1") -> Iterator[Series]:
    """Every series of a box that serves with this release, as a Prometheus has them."""
    for name, page in {**PAGES, f"vllm-{release}": "engine"}.items():
        own = {"box": box, "job": f"fortyninety-{page}"}
        if name != "tenants":
            yield Series("up", own, 1)
        for line in (RECORDED / f"{name}.metrics").read_text().splitlines():
            if found := _SAMPLE.fullmatch(line):
                labels = dict(_LABEL.findall(found[2] or ""))
                yield Series(found[1], labels | own, float(found[3]))
