"""Say what a Prometheus asks each box for: the targets, and what each is to serve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

# The label that every series of a box has, and the pages that its gateway shows.
BOX = "box"
PAGES = ("node", "engine", "gateway")


@dataclass(frozen=True)
class WatchedBox:
    """A box that shows its signals: where, and what the inventory has it serve."""

    name: str
    address: str
    port: int
    release: str
    snapshot: str

    @property
    def target(self) -> str:
        """Its address and port as Prometheus has them."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


def targets_text(boxes: Iterable[WatchedBox]) -> str:
    """The targets for `file_sd_configs`: three pages of each box."""
    targets = [
        {
            "targets": [box.target],
            "labels": {BOX: box.name, "job": f"fortyninety-{page}", "__metrics_path__": f"/{page}"},
        }
        for box in boxes
        for page in PAGES
    ]
    return json.dumps(targets, indent=2) + "\n"


def wanted_text(boxes: Sequence[WatchedBox]) -> str:
    """The rules that say what each box is to serve, which an alert compares with what it does."""
    rules = [
        {
            "record": "fortyninety:engine_wanted",
            "expr": "vector(1)",
            "labels": {BOX: box.name, "release": box.release, "snapshot": box.snapshot},
        }
        for box in boxes
    ]
    group = {"name": "fortyninety-wanted", "interval": "30s", "rules": rules}
    text = "# What the inventory had each box serve when this was exported.\n"
    return text + yaml.safe_dump({"groups": [group] if rules else []}, sort_keys=False)
