"""Say what a Prometheus asks each box and front for, and what each box is to serve."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Itself:
    """A monitor that says how it is too: its name, and where on loopback it does."""

    name: str
    target: str


def targets_text(boxes: Iterable[WatchedBox], itself: Itself | None = None) -> str:
    """The targets for `file_sd_configs`: the pages of each, and what a monitor says itself."""
    targets = [
        {
            "targets": [box.target],
            "labels": {BOX: box.name, "job": f"fortyninety-{page}", "__metrics_path__": f"/{page}"},
        }
        for box in boxes
        for page in box.pages
    ]
    if itself is not None:
        # The exporter itself, which no gateway stands before.
        page = {"job": "fortyninety-node", "__scheme__": "http", "__metrics_path__": "/metrics"}
        targets.append({"targets": [itself.target], "labels": {BOX: itself.name, **page}})
    return json.dumps(targets, indent=2) + "\n"


def wanted_text(boxes: Sequence[WatchedBox], known_until: int | None = None) -> str:
    """The rules that say what each box is to serve, which an alert compares with what it does.

    `known_until` is the end of the certificate that boxes know this Prometheus by, where no
    monitor of this project's says it.
    """
    rules: list[dict[str, Any]] = [
        {
            "record": "fortyninety:engine_wanted",
            "expr": "vector(1)",
            "labels": {BOX: box.name, "release": box.release, "snapshot": box.snapshot},
        }
        for box in boxes
        if box.release
    ]
    if known_until is not None:
        rules.append(
            {
                "record": "fortyninety_certificate_expiry_timestamp_seconds",
                "expr": f"vector({known_until})",
                "labels": {BOX: "monitor", "certificate": "monitor"},
            }
        )
    group = {"name": "fortyninety-wanted", "interval": "30s", "rules": rules}
    text = "# What the inventory had each box serve when this was exported.\n"
    return text + yaml.safe_dump({"groups": [group] if rules else []}, sort_keys=False)
