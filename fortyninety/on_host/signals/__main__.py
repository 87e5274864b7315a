"""The command line: signals KNOWN STATE METRICS.

KNOWN is what the controller knows of the box, as JSON; STATE is this program's own memory, which
ends with the boot; METRICS is what the node exporter reads.
"""

import json
import os
import sys
import time
from collections.abc import Callable

from fortyninety.on_host.signals.box import noted, read_box
from fortyninety.on_host.signals.cards import read_cards
from fortyninety.on_host.signals.checked import read_checked
from fortyninety.on_host.signals.engine import read_engine
from fortyninety.on_host.signals.gateway import read_certificates, read_front, read_gateway
from fortyninety.on_host.signals.metrics import Samples
from fortyninety.on_host.signals.xids import read_xids


def main() -> int:
    """Read everything and write it down; a source that fails is named, and keeps no other back."""
    known_path, state_path, metrics_path = sys.argv[1:]
    began = time.monotonic()
    known, state = noted(known_path) or {}, noted(state_path) or {}
    samples = Samples()
    sources: dict[str, Callable[[], bool | None]] = {
        "settings": lambda: bool(known),
        "cards": lambda: read_cards(known, state, samples),
        "journal": lambda: read_xids(state, samples),
        "engine": lambda: read_engine(known, samples),
        "gateway": lambda: read_gateway(known, state, samples),
        "front": lambda: read_front(known, state, samples),
        "certificates": lambda: read_certificates(known, samples),
        "box": lambda: read_box(samples),
        "check": lambda: read_checked(samples),
    }
    for name, read in sources.items():
        try:
            up = read()
        except Exception as error:  # one source less, and never a reading less
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            up = False
        samples.add("source_up", up is not False, name)
    samples.add("reading_duration_seconds", round(time.monotonic() - began, 4))
    samples.add("reading_timestamp_seconds", round(time.time(), 3))
    replace(state_path, json.dumps(state))
    replace(metrics_path, samples.text())
    return 0


def replace(path: str, text: str) -> None:
    """Write a file by one rename: whoever reads has the whole of one or of the other."""
    beside = f"{path}.new"
    with open(beside, "w", encoding="ascii") as stream:
        stream.write(text)
    os.rename(beside, path)
