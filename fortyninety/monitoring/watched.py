"""Say what a Prometheus asks each box and front for, and what each box is to serve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml

# The label that every series of a box or a front has, and the pages that each shows.
BOX = "box"
OF_A_BOX = ("node", "engine", "gateway")
OF_A_FRONT = ("node", "front")


@dataclass(frozen=True)
class WatchedBox:
    """A host that shows its signals: where, on which pages, and what the inventory has it serve.

    A front alone serves nothing by itself: its `release` and `snapshot` are "".
    """

    name: str
    address: str
    port: int
    release: str
    snapshot: str
    pages: tuple[str, ...] = OF_A_BOX

    @property
    def target(self) -> str:
        """Its address and port as Prometheus has them."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


def targets_text(boxes: Iterable[WatchedBox]) -> str:
    """The targets for `file_sd_configs`: the pages of each."""
    targets = [
        {
            "targets": [box.target],
            "labels": {BOX: box.name, "job": f"fortyninety-{page}", "__metrics_path__": f"/{page}"},
        }
        for box in boxes
        for page in box.pages
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
        if box.release
    ]
    group = {"name": "fortyninety-wanted", "interval": "30s", "rules": rules}
    text = "# What the inventory had each box serve when this was exported.\n"
    return text + yaml.safe_dump({"groups": [group] if rules else []}, sort_keys=False)
